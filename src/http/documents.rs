//! Persisted documents, which requests name instead of sending them: those of the page, the trusted documents of a server, or
//! documents that clients have sent before.
//!
//! Automatic persisted queries are Apollo's protocol. `documentId` is defined by the appendix on persisted documents of
//! the GraphQL over HTTP specification.

use std::collections::HashMap;
use std::path::Path;
use std::sync::Arc;

use anyhow::Context as _;
use async_graphql::parser::parse_query;
use async_graphql::{Request, Response, Value};
use moka::sync::Cache;
use sha2::{Digest as _, Sha256};

use super::page;
use crate::graphql::execute::error_response;
use scv_api::error::code;

/// Bytes of documents that are cached for clients.
const CACHE_BYTES: u64 = 16 << 20;

/// The parameter that names a document, and the extension in which [`super::request`] stores it.
pub const DOCUMENT_ID: &str = "documentId";

/// The message by which Apollo's clients know that they have to send the document.
const PERSISTED_QUERY_NOT_FOUND: &str = "PersistedQueryNotFound";

/// Documents by the name that requests use for them.
#[derive(Debug, Clone)]
pub struct Documents {
    /// Those of the page, by their SHA-256 hashes. They are part of the program, so every server executes them.
    page: Arc<HashMap<String, String>>,
    others: Others,
}

/// Which documents may be executed beside those of the page.
#[derive(Debug, Clone)]
enum Others {
    /// Only these.
    Trusted(Arc<HashMap<String, String>>),
    /// Any document may be executed. Clients can have one cached under its SHA-256 hash.
    Any(Cache<String, Arc<str>>),
}

impl Documents {
    /// Any document may be executed.
    pub fn any() -> Self {
        let bytes = |name: &String, document: &Arc<str>| (name.len() + document.len()).try_into().unwrap_or(u32::MAX);
        Self::of(Others::Any(
            Cache::builder().max_capacity(CACHE_BYTES).weigher(bytes).build(),
        ))
    }

    /// Only the documents of a JSON file may be executed. The file holds an object that maps names to documents.
    ///
    /// # Errors
    /// The file cannot be read, does not hold such an object, or has an invalid document.
    pub fn trusted(file: &Path) -> anyhow::Result<Self> {
        let text = std::fs::read_to_string(file).with_context(|| format!("cannot read {}", file.display()))?;
        let documents: HashMap<String, String> = serde_json::from_str(&text).with_context(|| {
            let file = file.display();
            format!("{file} must hold one JSON object that maps names to GraphQL documents")
        })?;
        for (name, document) in &documents {
            parse_query(document)
                .map_err(anyhow::Error::from)
                .with_context(|| format!("{}: the document {name:?} is invalid", file.display()))?;
        }
        Ok(Self::of(Others::Trusted(Arc::new(documents))))
    }

    fn of(others: Others) -> Self {
        let page: Option<HashMap<String, String>> =
            page::documents().and_then(|json| serde_json::from_slice(&json).ok());
        let page = page.unwrap_or_default().into_iter();
        let page = page.map(|(name, document)| (without_prefix(&name).to_owned(), document));
        Self {
            page: Arc::new(page.collect()),
            others,
        }
    }

    /// Whether a request has its document cached.
    pub fn registers(&self, request: &Request) -> bool {
        matches!(self.others, Others::Any(_)) && !request.query.is_empty() && document_name(request).is_some()
    }

    /// Adds the document to a request that only names it.
    ///
    /// # Errors
    /// The response to send if the document is unknown or not allowed.
    pub fn complete(&self, mut request: Request) -> Result<Request, Box<Response>> {
        let refuse = |code, message: &str| Err(Box::new(error_response(code, message)));
        let name = document_name(&request);
        let of_page = name.as_ref().and_then(|name| self.page.get(without_prefix(name)));
        if let Some(document) = of_page.filter(|_| request.query.is_empty()) {
            request.query.clone_from(document);
            return Ok(request);
        }
        match (&self.others, name) {
            (Others::Trusted(documents), Some(name)) => {
                match documents.get(&name).or_else(|| documents.get(without_prefix(&name))) {
                    Some(document) => request.query.clone_from(document),
                    None => {
                        return refuse(
                            code::NOT_FOUND,
                            "unknown document: this server has no document with this name",
                        );
                    }
                }
            }
            (Others::Trusted(_), None) => {
                return refuse(
                    code::FORBIDDEN,
                    "this server executes only trusted documents: name one with `documentId`",
                );
            }
            (Others::Any(_), None) => {}
            (Others::Any(cache), Some(name)) if request.query.is_empty() => match cache.get(without_prefix(&name)) {
                Some(document) => request.query = document.to_string(),
                None => return refuse(code::NOT_FOUND, PERSISTED_QUERY_NOT_FOUND),
            },
            (Others::Any(cache), Some(name)) => {
                let own = hex::encode(Sha256::digest(request.query.as_bytes()));
                if own != without_prefix(&name) {
                    return refuse(
                        code::BAD_USER_INPUT,
                        "the document does not match its hash: send its SHA-256 in hexadecimal",
                    );
                }
                cache.insert(own, request.query.as_str().into());
            }
        }
        Ok(request)
    }
}

/// A name without the prefix that marks it as a hash.
fn without_prefix(name: &str) -> &str {
    name.strip_prefix("sha256:").unwrap_or(name)
}

/// The name that a request uses for its document.
fn document_name(request: &Request) -> Option<String> {
    let text = |value: &Value| match value {
        Value::String(text) => Some(text.clone()),
        _ => None,
    };
    if let Some(id) = request.extensions.get(DOCUMENT_ID).and_then(text) {
        return Some(id);
    }
    match request.extensions.get("persistedQuery")? {
        Value::Object(members) => text(members.get("sha256Hash")?),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

    use async_graphql::value;

    use super::*;
    use scv_api::error::first_code;

    const DOCUMENT: &str = "{ serverInfo { version } }";

    fn request(document: &str, hash: Option<&str>) -> Request {
        let mut request = Request::new(document);
        if let Some(hash) = hash {
            let named = value!({ "version": 1, "sha256Hash": hash });
            request.extensions.insert("persistedQuery".to_owned(), named);
        }
        request
    }

    fn outcome(documents: &Documents, request: Request) -> Result<String, String> {
        let complete = documents.complete(request).map(|request| request.query);
        complete.map_err(|response| first_code(&response).unwrap().to_owned())
    }

    #[test]
    fn a_document_sent_with_its_hash_can_be_named_by_it_afterwards() {
        let documents = Documents::any();
        let hash = hex::encode(Sha256::digest(DOCUMENT));
        let named = || request("", Some(&hash));
        assert_eq!(outcome(&documents, named()), Err("NOT_FOUND".to_owned()));
        let other = request("{ __typename }", Some(&hash));
        assert_eq!(outcome(&documents, other), Err("BAD_USER_INPUT".to_owned()));
        let both = request(DOCUMENT, Some(&hash));
        assert_eq!(outcome(&documents, both), Ok(DOCUMENT.to_owned()));
        assert_eq!(outcome(&documents, named()), Ok(DOCUMENT.to_owned()));
        assert_eq!(outcome(&documents, request(DOCUMENT, None)), Ok(DOCUMENT.to_owned()));
    }

    #[test]
    fn a_server_with_trusted_documents_executes_no_others() {
        let mut file = tempfile::NamedTempFile::new().unwrap();
        std::io::Write::write_all(&mut file, format!(r#"{{ "info": "{DOCUMENT}" }}"#).as_bytes()).unwrap();
        let documents = Documents::trusted(file.path()).unwrap();
        let mut named = Request::new("");
        named.extensions.insert(DOCUMENT_ID.to_owned(), value!("info"));
        assert_eq!(outcome(&documents, named), Ok(DOCUMENT.to_owned()));
        assert_eq!(
            outcome(&documents, request(DOCUMENT, None)),
            Err("FORBIDDEN".to_owned())
        );
        // A document that comes with a name is ignored.
        let mut both = Request::new("{ __typename }");
        both.extensions.insert(DOCUMENT_ID.to_owned(), value!("info"));
        assert_eq!(outcome(&documents, both), Ok(DOCUMENT.to_owned()));
        let unknown = request("", Some("info of another kind"));
        assert_eq!(outcome(&documents, unknown), Err("NOT_FOUND".to_owned()));
    }

    #[test]
    fn an_invalid_file_of_documents_is_reported_with_its_error() {
        let of = |text: &str| {
            let mut file = tempfile::NamedTempFile::new().unwrap();
            std::io::Write::write_all(&mut file, text.as_bytes()).unwrap();
            format!("{:#}", Documents::trusted(file.path()).err().unwrap())
        };
        assert!(of("[]").contains("must hold one JSON object"));
        assert!(of(r#"{ "broken": "{ a" }"#).contains("the document \"broken\" is invalid"));
    }
}

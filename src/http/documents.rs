//! Documents that requests name and do not bring: those that a server trusts, and those that clients have sent before.
//!
//! Automatic persisted queries are Apollo's protocol; `documentId` is that of the appendix on persisted documents to the GraphQL
//! over HTTP specification.

use std::collections::HashMap;
use std::path::Path;
use std::sync::Arc;

use anyhow::Context as _;
use async_graphql::parser::parse_query;
use async_graphql::{Request, Response, Value};
use moka::sync::Cache;
use sha2::{Digest as _, Sha256};

use super::executing::refused;
use crate::graphql::error::code;

/// Bytes of documents that are kept for clients.
const KEPT_BYTES: u64 = 16 << 20;

/// The extension in which [`super::asked`] puts the parameter of this name.
pub const DOCUMENT_ID: &str = "documentId";

/// What Apollo's clients know to mean that the document has to be sent along.
const NOT_FOUND: &str = "PersistedQueryNotFound";

/// Documents by the name that requests give them.
#[derive(Debug, Clone)]
pub enum Documents {
    /// These and no others.
    Trusted(Arc<HashMap<String, String>>),
    /// Whatever clients send, kept by its SHA-256 hash if they ask for that.
    Any(Cache<String, Arc<str>>),
}

impl Documents {
    /// Whatever clients send.
    pub fn any() -> Self {
        let bytes = |name: &String, document: &Arc<str>| (name.len() + document.len()).try_into().unwrap_or(u32::MAX);
        Self::Any(Cache::builder().max_capacity(KEPT_BYTES).weigher(bytes).build())
    }

    /// The documents of a JSON file, an object of documents by name.
    ///
    /// # Errors
    /// The file cannot be read, is no such object, or holds what is no document.
    pub fn trusted(file: &Path) -> anyhow::Result<Self> {
        let text = std::fs::read_to_string(file).with_context(|| format!("cannot read {}", file.display()))?;
        let documents: HashMap<String, String> = serde_json::from_str(&text).with_context(|| {
            let file = file.display();
            format!("{file} must hold one JSON object, of GraphQL documents by their names")
        })?;
        for (name, document) in &documents {
            parse_query(document)
                .map_err(anyhow::Error::from)
                .with_context(|| format!("{}: the document {name:?} is none", file.display()))?;
        }
        Ok(Self::Trusted(Arc::new(documents)))
    }

    /// The request with its document.
    ///
    /// # Errors
    /// What to answer in place of executing it.
    pub fn complete(&self, mut request: Request) -> Result<Request, Box<Response>> {
        let refuse = |code, message: &str| Err(Box::new(refused(code, message)));
        let name = name(&request);
        match (self, name) {
            (Self::Trusted(documents), Some(name)) => match documents.get(&name).or_else(|| documents.get(hash(&name)))
            {
                Some(document) => request.query.clone_from(document),
                None => return refuse(code::NOT_FOUND, "this server knows no document of this name"),
            },
            (Self::Trusted(_), None) => {
                return refuse(
                    code::FORBIDDEN,
                    "this server executes only the documents that it was started with: name one by `documentId`",
                );
            }
            (Self::Any(_), None) => {}
            (Self::Any(kept), Some(name)) if request.query.is_empty() => match kept.get(hash(&name)) {
                Some(document) => request.query = document.to_string(),
                None => return refuse(code::NOT_FOUND, NOT_FOUND),
            },
            (Self::Any(kept), Some(name)) => {
                let own = hex::encode(Sha256::digest(request.query.as_bytes()));
                if own != hash(&name) {
                    return refuse(
                        code::BAD_USER_INPUT,
                        "the document is not the one of this hash: name it by its SHA-256 in hexadecimal digits",
                    );
                }
                kept.insert(own, request.query.as_str().into());
            }
        }
        Ok(request)
    }
}

/// A hash without what says that it is one.
fn hash(name: &str) -> &str {
    name.strip_prefix("sha256:").unwrap_or(name)
}

/// What a request calls its document.
fn name(request: &Request) -> Option<String> {
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
    use crate::graphql::error::first_code;

    const DOCUMENT: &str = "{ serverInfo { version } }";

    fn asked(document: &str, hash: Option<&str>) -> Request {
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
    fn a_document_that_was_sent_with_its_hash_is_known_by_it_afterwards() {
        let documents = Documents::any();
        let hash = hex::encode(Sha256::digest(DOCUMENT));
        let named = || asked("", Some(&hash));
        assert_eq!(outcome(&documents, named()), Err("NOT_FOUND".to_owned()));
        let other = asked("{ __typename }", Some(&hash));
        assert_eq!(outcome(&documents, other), Err("BAD_USER_INPUT".to_owned()));
        let both = asked(DOCUMENT, Some(&hash));
        assert_eq!(outcome(&documents, both), Ok(DOCUMENT.to_owned()));
        assert_eq!(outcome(&documents, named()), Ok(DOCUMENT.to_owned()));
        assert_eq!(outcome(&documents, asked(DOCUMENT, None)), Ok(DOCUMENT.to_owned()));
    }

    #[test]
    fn a_server_that_trusts_documents_executes_no_others() {
        let mut file = tempfile::NamedTempFile::new().unwrap();
        std::io::Write::write_all(&mut file, format!(r#"{{ "info": "{DOCUMENT}" }}"#).as_bytes()).unwrap();
        let documents = Documents::trusted(file.path()).unwrap();
        let mut named = Request::new("");
        named.extensions.insert(DOCUMENT_ID.to_owned(), value!("info"));
        assert_eq!(outcome(&documents, named), Ok(DOCUMENT.to_owned()));
        assert_eq!(outcome(&documents, asked(DOCUMENT, None)), Err("FORBIDDEN".to_owned()));
        // What is brought along beside a name is not looked at.
        let mut both = Request::new("{ __typename }");
        both.extensions.insert(DOCUMENT_ID.to_owned(), value!("info"));
        assert_eq!(outcome(&documents, both), Ok(DOCUMENT.to_owned()));
        let unknown = asked("", Some("info of another kind"));
        assert_eq!(outcome(&documents, unknown), Err("NOT_FOUND".to_owned()));
    }

    #[test]
    fn a_file_that_holds_no_documents_says_where() {
        let of = |text: &str| {
            let mut file = tempfile::NamedTempFile::new().unwrap();
            std::io::Write::write_all(&mut file, text.as_bytes()).unwrap();
            format!("{:#}", Documents::trusted(file.path()).err().unwrap())
        };
        assert!(of("[]").contains("must hold one JSON object"));
        assert!(of(r#"{ "broken": "{ a" }"#).contains("the document \"broken\" is none"));
    }
}

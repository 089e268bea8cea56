//! Keys of objects: their kind and the hash of their content.

use std::fmt;
use std::str::FromStr;

use sha2::{Digest, Sha256};

/// The kind of an object, which is also the folder that contains it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum ArtifactKind {
    /// The weights of a version.
    Weights,
    /// The ONNX file of a version, with all of its weights.
    Onnx,
    /// Activations that another program computed.
    Activations,
    /// The pixels of the images of a split.
    Images,
    /// The class indices of a split.
    Labels,
    /// A picture in PNG format.
    Pictures,
    /// An uploaded file of a data set that is being imported.
    Imports,
}

impl ArtifactKind {
    const ALL: [ArtifactKind; 7] = [
        Self::Weights,
        Self::Onnx,
        Self::Activations,
        Self::Images,
        Self::Labels,
        Self::Pictures,
        Self::Imports,
    ];

    pub(super) fn folder(self) -> &'static str {
        match self {
            Self::Weights => "weights",
            Self::Onnx => "onnx",
            Self::Activations => "activations",
            Self::Images => "images",
            Self::Labels => "labels",
            Self::Pictures => "pictures",
            Self::Imports => "imports",
        }
    }
}

impl fmt::Display for ArtifactKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.folder())
    }
}

/// The key of an object, such as `weights/9f86…`: its kind and the SHA-256 of its bytes.
///
/// Equal bytes of the same kind have the same key, and the bytes of a key never change.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct ArtifactKey {
    kind: ArtifactKind,
    hash: [u8; 32],
}

impl ArtifactKey {
    /// The key of `bytes`.
    pub fn of(kind: ArtifactKind, bytes: &[u8]) -> Self {
        Self {
            kind,
            hash: Sha256::digest(bytes).into(),
        }
    }

    /// The hash of the bytes, 64 hexadecimal digits.
    pub fn hash(&self) -> String {
        hex::encode(self.hash)
    }

    /// The kind of the object.
    pub fn kind(&self) -> ArtifactKind {
        self.kind
    }
}

/// Computes the key of bytes that arrive in chunks.
#[derive(Default)]
pub(super) struct ArtifactHasher(Sha256);

impl ArtifactHasher {
    /// Adds the next bytes.
    pub(super) fn update(mut self, bytes: &[u8]) -> Self {
        self.0.update(bytes);
        self
    }

    /// The key of all bytes.
    pub(super) fn key(self, kind: ArtifactKind) -> ArtifactKey {
        ArtifactKey {
            kind,
            hash: self.0.finalize().into(),
        }
    }
}

impl fmt::Display for ArtifactKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.kind.folder(), hex::encode(self.hash))
    }
}

impl FromStr for ArtifactKey {
    type Err = ArtifactKeyError;

    fn from_str(text: &str) -> Result<Self, ArtifactKeyError> {
        let refuse = || ArtifactKeyError { text: text.to_owned() };
        let (folder, digits) = text.split_once('/').ok_or_else(refuse)?;
        let kind = ArtifactKind::ALL.into_iter().find(|kind| kind.folder() == folder);
        let mut hash = [0; 32];
        hex::decode_to_slice(digits, &mut hash).map_err(|_| refuse())?;
        let key = Self {
            kind: kind.ok_or_else(refuse)?,
            hash,
        };
        // Each key has a single spelling: with uppercase digits, an object would have two names.
        if key.to_string() == text {
            Ok(key)
        } else {
            Err(refuse())
        }
    }
}

/// A text is not a valid key.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "{text:?} is not an artifact key: expected weights, onnx, activations, images, labels, pictures or imports, a slash and 64 \
     lowercase hexadecimal digits"
)]
pub struct ArtifactKeyError {
    text: String,
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

    use super::*;

    #[test]
    fn a_key_is_the_kind_and_the_sha_256_of_the_bytes() {
        let key = ArtifactKey::of(ArtifactKind::Weights, b"abc");
        assert_eq!(
            key.to_string(),
            "weights/ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"
        );
    }

    #[test]
    fn every_key_reads_back_from_its_text() {
        for kind in ArtifactKind::ALL {
            let key = ArtifactKey::of(kind, b"abc");
            assert_eq!(key.to_string().parse::<ArtifactKey>().unwrap(), key);
        }
    }

    #[test]
    fn other_texts_are_not_keys() {
        let good = ArtifactKey::of(ArtifactKind::Images, b"abc").to_string();
        let hash = &good["images/".len()..];
        for bad in [
            String::new(),
            hash.to_owned(),
            format!("pickles/{hash}"),
            format!("images/{}", &hash[1..]),
            format!("images/../{hash}"),
            format!("images/{}", hash.to_uppercase()),
        ] {
            assert!(bad.parse::<ArtifactKey>().is_err(), "{bad}");
        }
    }
}

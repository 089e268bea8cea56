//! What PostgreSQL keeps of a password (SCRAM-SHA-256, RFC 7677), computed here, so that the password itself is in no statement.

use hmac::{Hmac, KeyInit as _, Mac as _};
use sha2::{Digest as _, Sha256};

/// Rounds of the hash, PostgreSQL's default.
pub(super) const ITERATIONS: u32 = 4_096;

type Key = [u8; 32];

/// The two keys of a verifier.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct ScramKeys {
    pub(super) stored: Key,
    pub(super) server: Key,
}

impl ScramKeys {
    /// The keys of a password and a salt.
    pub(super) fn new(password: &str, salt: &[u8]) -> Self {
        // As PostgreSQL does, one that cannot be prepared is used as it is.
        let prepared =
            stringprep::saslprep(password).map_or_else(|_| password.to_owned(), |prepared| prepared.into_owned());
        let salted = salted(prepared.as_bytes(), salt);
        Self {
            stored: Sha256::digest(mac(&salted, &[b"Client Key"])).into(),
            server: mac(&salted, &[b"Server Key"]),
        }
    }
}

/// PBKDF2 with a single block.
fn salted(password: &[u8], salt: &[u8]) -> Key {
    let mut round = mac(password, &[salt, &1_u32.to_be_bytes()]);
    let mut all = round;
    for _ in 1..ITERATIONS {
        round = mac(password, &[&round]);
        all.iter_mut().zip(round).for_each(|(all, byte)| *all ^= byte);
    }
    all
}

fn mac(key: &[u8], parts: &[&[u8]]) -> Key {
    let mut mac = Hmac::<Sha256>::new_from_slice(key).expect("a key may have any length");
    parts.iter().for_each(|part| mac.update(part));
    mac.finalize().into_bytes().into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_keys_are_those_of_the_specification() {
        // The example of RFC 7677, with the keys as PostgreSQL writes them, in base64.
        let salt = [
            0x5b, 0x6d, 0x99, 0x68, 0x9d, 0x12, 0x35, 0x8e, 0xec, 0xa0, 0x4b, 0x14, 0x12, 0x36, 0xfa, 0x81,
        ];
        let keys = ScramKeys::new("pencil", &salt);
        assert_eq!(
            hex::encode(keys.stored),
            "586e5df283e6dceb5c3e791d8b8528ec191e664045ce971792e2e6b5bb13e2a6"
        );
        assert_eq!(
            hex::encode(keys.server),
            "c1f3cbc1c13a9d35a14c0990eed97629ea225863e566a4314ab99f3f00e5d9d5"
        );
    }
}

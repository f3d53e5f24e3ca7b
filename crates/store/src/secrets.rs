//! Encryption of secrets at rest: ChaCha20-Poly1305, the key's id in the row, the row's id as associated data.

use chacha20poly1305::{
    ChaCha20Poly1305, Key, KeyInit, Nonce,
    aead::{Aead, Payload},
};
use secrecy::{ExposeSecret, SecretString};
use sha2::{Digest, Sha256};

use crate::Error;

/// Master keys: the first encrypts, all decrypt. Each 64 hex digits, or any text of at least 16
/// characters, which is hashed.
#[derive(Debug, Clone)]
pub struct MasterKeys(pub Vec<SecretString>);

const SHORTEST: usize = 16;

/// Master keys made ready.
pub(crate) struct Vault {
    keys: Vec<(String, ChaCha20Poly1305)>,
}

/// An encrypted value as it stands in a row, hex.
pub(crate) struct Sealed {
    pub(crate) key_id: String,
    pub(crate) nonce: String,
    pub(crate) text: String,
}

impl Vault {
    pub(crate) fn new(keys: &MasterKeys) -> Result<Self, Error> {
        let keys = keys.0.iter().map(|key| {
            let text = key.expose_secret();
            let bytes: [u8; 32] = match unhex(text).and_then(|bytes| bytes.try_into().ok()) {
                Some(bytes) => bytes,
                None if text.chars().count() >= SHORTEST => Sha256::digest(text).into(),
                None => {
                    return Err(Error::Unavailable(format!(
                        "secrets.master_key: must be 64 hex digits or text of at least {SHORTEST} characters"
                    )));
                }
            };
            let id = hex(&Sha256::digest(bytes)[..4]);
            Ok((id, ChaCha20Poly1305::new(&Key::from(bytes))))
        });
        Ok(Self {
            keys: keys.collect::<Result<_, _>>()?,
        })
    }

    /// Id of the key that encrypts.
    pub(crate) fn newest(&self) -> Option<&str> {
        self.keys.first().map(|(id, _)| id.as_str())
    }

    /// `place` ties the value to its row: moved to another row it opens no more.
    pub(crate) fn seal(&self, value: &SecretString, place: &str) -> Result<Sealed, Error> {
        let (key_id, cipher) = self.keys.first().ok_or_else(|| {
            Error::Unavailable("secrets.master_key: none is set, so no secret can be stored".into())
        })?;
        let nonce: [u8; 12] = rand::random();
        let message = Payload {
            msg: value.expose_secret().as_bytes(),
            aad: place.as_bytes(),
        };
        let sealed = cipher
            .encrypt(&Nonce::from(nonce), message)
            .map_err(|_| Error::Unavailable("a secret could not be encrypted".into()))?;
        Ok(Sealed {
            key_id: key_id.clone(),
            nonce: hex(&nonce),
            text: hex(&sealed),
        })
    }

    pub(crate) fn open(&self, sealed: &Sealed, place: &str) -> Result<SecretString, Error> {
        let (_, cipher) = self
            .keys
            .iter()
            .find(|(id, _)| *id == sealed.key_id)
            .ok_or_else(|| {
                Error::Corrupt(format!(
                    "secret under master key {}, which is not in secrets.master_key",
                    sealed.key_id
                ))
            })?;
        let broken = || Error::Corrupt("secret does not open with its master key".into());
        let nonce: [u8; 12] = unhex(&sealed.nonce)
            .and_then(|bytes| bytes.try_into().ok())
            .ok_or_else(broken)?;
        let text = unhex(&sealed.text).ok_or_else(broken)?;
        let message = Payload {
            msg: &text,
            aad: place.as_bytes(),
        };
        let value = cipher
            .decrypt(&Nonce::from(nonce), message)
            .map_err(|_| broken())?;
        Ok(String::from_utf8(value).map_err(|_| broken())?.into())
    }
}

pub(crate) fn hex(bytes: &[u8]) -> String {
    const DIGITS: &[u8; 16] = b"0123456789abcdef";
    bytes
        .iter()
        .flat_map(|byte| [byte >> 4, byte & 15])
        .map(|digit| char::from(DIGITS[usize::from(digit)]))
        .collect()
}

fn unhex(text: &str) -> Option<Vec<u8>> {
    let digit = |byte: u8| char::from(byte).to_digit(16);
    let (pairs, rest) = text.as_bytes().as_chunks::<2>();
    if !rest.is_empty() {
        return None;
    }
    pairs
        .iter()
        .map(|[high, low]| u8::try_from(digit(*high)? * 16 + digit(*low)?).ok())
        .collect()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn vault(keys: &[&str]) -> Vault {
        Vault::new(&MasterKeys(
            keys.iter().map(|key| SecretString::from(*key)).collect(),
        ))
        .unwrap()
    }

    const OLD: &str = "00112233445566778899aabbccddeeff00112233445566778899aabbccddeeff";

    #[test]
    fn an_old_key_still_opens_and_the_new_one_seals() {
        let old = vault(&[OLD]).seal(&"sk-1".into(), "row 1").unwrap();
        let both = vault(&["correct horse battery", OLD]);
        assert_eq!(both.open(&old, "row 1").unwrap().expose_secret(), "sk-1");
        let new = both.seal(&"sk-2".into(), "row 1").unwrap();
        assert_ne!(new.key_id, old.key_id);
        assert_eq!(
            vault(&["correct horse battery"])
                .open(&new, "row 1")
                .unwrap()
                .expose_secret(),
            "sk-2"
        );
    }

    #[test]
    fn a_value_moved_altered_or_under_an_unknown_key_does_not_open() {
        let vault_1 = vault(&[OLD]);
        let sealed = vault_1.seal(&"sk-1".into(), "row 1").unwrap();
        assert!(matches!(
            vault_1.open(&sealed, "row 2"),
            Err(Error::Corrupt(_))
        ));
        assert!(matches!(
            vault(&["correct horse battery"]).open(&sealed, "row 1"),
            Err(Error::Corrupt(_))
        ));
        let digit = if sealed.text.starts_with('0') {
            '1'
        } else {
            '0'
        };
        let altered = Sealed {
            text: format!("{digit}{}", &sealed.text[1..]),
            ..sealed
        };
        assert!(matches!(
            vault_1.open(&altered, "row 1"),
            Err(Error::Corrupt(_))
        ));
    }

    #[test]
    fn a_short_master_key_is_refused_by_name() {
        let error = Vault::new(&MasterKeys(vec!["short".into()])).err().unwrap();
        assert!(
            error.to_string().starts_with("secrets.master_key:"),
            "{error}"
        );
        assert!(vault(&[]).seal(&"x".into(), "row").is_err());
    }

    #[test]
    fn hex_goes_both_ways_and_refuses_the_rest() {
        assert_eq!(hex(&[0, 171, 255]), "00abff");
        assert_eq!(unhex("00ABff"), Some(vec![0, 171, 255]));
        assert_eq!(unhex("0"), None);
        assert_eq!(unhex("zz"), None);
        assert_eq!(unhex("é0"), None);
    }
}

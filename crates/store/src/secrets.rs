//! Encryption of secrets at rest: ChaCha20-Poly1305, the key's id in the row, the row's id as associated data.

use secrecy::SecretString;

/// Master keys: the first encrypts, all decrypt.
#[derive(Debug, Clone)]
pub struct MasterKeys(pub Vec<SecretString>);

//! Phone numbers as the API takes them.

use serde::{Deserialize, Serialize};

/// A phone number in E.164 form: `^\+[1-9]\d{1,14}$`. Whether such a line exists is the carrier's to say.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize)]
#[serde(transparent)]
pub struct E164(String);

/// The text is no E.164 number.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("must be a phone number in E.164 form, such as +14155550100")]
pub struct NotE164;

impl E164 {
    /// The number with its leading `+`.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl std::str::FromStr for E164 {
    type Err = NotE164;
    fn from_str(text: &str) -> Result<Self, NotE164> {
        let digits = text.strip_prefix('+').ok_or(NotE164)?;
        let fits = (2..=15).contains(&digits.len())
            && !digits.starts_with('0')
            && digits.bytes().all(|b| b.is_ascii_digit());
        if fits {
            Ok(Self(text.to_owned()))
        } else {
            Err(NotE164)
        }
    }
}

impl TryFrom<String> for E164 {
    type Error = NotE164;
    fn try_from(text: String) -> Result<Self, NotE164> {
        text.parse()
    }
}

impl<'de> Deserialize<'de> for E164 {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?
            .parse()
            .map_err(serde::de::Error::custom)
    }
}

impl std::fmt::Display for E164 {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_plus_and_up_to_fifteen_digits_are_a_number() {
        for good in ["+12", "+10123456789", "+123456789012345"] {
            assert_eq!(
                good.parse::<E164>().map(|number| number.to_string()),
                Ok(good.to_owned())
            );
        }
        for bad in [
            "",
            "+",
            "+1",
            "14155550100",
            "+0123456789",
            "+1234567890123456",
            "+1415 555",
            "+١٢٣",
            " +12",
        ] {
            assert_eq!(bad.parse::<E164>(), Err(NotE164), "{bad}");
        }
        assert!(serde_json::from_str::<E164>("\"0044\"").is_err());
    }
}

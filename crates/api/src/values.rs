//! Values that have more than one spelling, and what the OpenAPI document says of them: what it forbids is
//! refused, what it allows is taken.

use serde::{Deserialize, Deserializer, de::Error};
use serde_json::{Number, json};
use utoipa::{
    PartialSchema, ToSchema,
    openapi::{
        RefOr,
        schema::{ObjectBuilder, Schema, SchemaType, Type},
    },
};

/// A time, for the document: what `time::parse` reads.
pub struct Time;

/// Four digits, as 2024.
const YEAR: &str = "[0-9]{4}";
const LEAP_YEAR: &str = "([0-9]{2}(0[48]|[2468][048]|[13579][26])|([02468][048]|[13579][26])00)";
/// A day that every year has.
const DAY: &str = "((0[13578]|1[02])-(0[1-9]|[12][0-9]|3[01])|(0[469]|11)-(0[1-9]|[12][0-9]|30)\
                   |02-(0[1-9]|1[0-9]|2[0-8]))";
const CLOCK: &str = "([01][0-9]|2[0-3]):[0-5][0-9](:[0-5][0-9](\\.[0-9]{1,9})?)?";
const OFFSET: &str = "(Z|[ +-]([01][0-9]|2[0-3]):?[0-5][0-9])";

impl PartialSchema for Time {
    fn schema() -> RefOr<Schema> {
        let date = format!("({YEAR}-{DAY}|{LEAP_YEAR}-02-29)");
        ObjectBuilder::new()
            .schema_type(Type::String)
            .pattern(Some(format!("^{date}([T ]{CLOCK}{OFFSET}?)?$")))
            .examples([json!("2026-01-23T10:35:00+05:30")])
            .description(Some(
                "ISO 8601; without an offset UTC; a date alone is its midnight.",
            ))
            .into()
    }
}

impl ToSchema for Time {}

/// One of these words, for a parameter.
pub fn one_of<'w>(words: impl IntoIterator<Item = &'w str>) -> Schema {
    ObjectBuilder::new()
        .schema_type(Type::String)
        .enum_values(Some(words))
        .into()
}

/// A field that other servers fill and this one can't: `null` and nothing else.
pub fn only_null() -> Schema {
    ObjectBuilder::new()
        .schema_type(Type::Null)
        .description(Some("Only `null`."))
        .into()
}

/// A switch of other servers that can't be switched on here.
pub fn only_false() -> Schema {
    ObjectBuilder::new()
        .schema_type(SchemaType::from_iter([Type::Boolean, Type::Null]))
        .enum_values(Some([json!(false), json!(null)]))
        .default(Some(json!(false)))
        .description(Some("Only `false`."))
        .into()
}

/// A whole number of a JSON body; `10.0` is one, as JSON Schema counts them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Whole(pub i64);

impl<'de> Deserialize<'de> for Whole {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let number = Number::deserialize(deserializer)?;
        whole(&number)
            .map(Self)
            .ok_or_else(|| D::Error::custom("must be a whole number"))
    }
}

/// The number, if it is whole.
pub fn whole(number: &Number) -> Option<i64> {
    /// Beyond it a float is no longer the number that was written.
    const EXACT: f64 = 9_007_199_254_740_992.0;
    let written = number.as_f64().filter(|float| float.fract() == 0.0);
    let exact = written.filter(|float| float.abs() <= EXACT);
    number.as_i64().or(exact.map(|float| float as i64))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn a_whole_number_may_have_a_point() {
        let read = |text: &str| serde_json::from_str::<Whole>(text).ok();
        for (text, number) in [("10", 10), ("10.0", 10), ("-1e2", -100)] {
            assert_eq!(read(text), Some(Whole(number)), "{text}");
        }
        for text in ["10.5", "1e300", "18446744073709551615", "\"10\"", "true"] {
            assert_eq!(read(text), None, "{text}");
        }
    }
}

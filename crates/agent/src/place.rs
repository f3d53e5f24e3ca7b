//! A cursor over the submitted document. It knows where it stands and notes what is wrong there, so that
//! reading goes on and every fault of a document is found at once.

use std::{cell::RefCell, fmt::Display, ops::RangeInclusive};

use indexmap::IndexMap;
use serde_json::{Map, Value};
use url::Url;

use crate::{Fault, Faults, LocalText};

/// Longest time a document may name: a day. Keeps sums of times far from overflow.
const LONGEST_S: f64 = 86_400.0;

/// What was found so far.
#[derive(Default)]
pub(crate) struct FaultList {
    faults: RefCell<Vec<Fault>>,
    /// What is right, but can't be run by this version.
    lacks: RefCell<Vec<Fault>>,
}

impl FaultList {
    /// What is wrong, and what is right but can't be run.
    pub fn into_parts(self) -> (Vec<Fault>, Vec<Fault>) {
        (self.faults.into_inner(), self.lacks.into_inner())
    }

    /// The same as one list.
    pub fn into_all(self) -> Vec<Fault> {
        let (mut faults, lacks) = self.into_parts();
        faults.extend(lacks);
        faults
    }
}

/// A value of the document, its path, and where faults go. `null` counts as absent everywhere.
#[derive(Clone)]
pub(crate) struct Place<'d> {
    path: String,
    value: Option<&'d Value>,
    faults: &'d FaultList,
}

impl<'d> Place<'d> {
    /// Starts at `value`; `path` is what paths begin with.
    pub fn new(path: &str, value: Option<&'d Value>, faults: &'d FaultList) -> Self {
        Self {
            path: path.to_owned(),
            value: value.filter(|value| !value.is_null()),
            faults,
        }
    }

    /// The member `key`; absent where this is no object.
    pub fn at(&self, key: &str) -> Self {
        let path = if self.path.is_empty() {
            key.to_owned()
        } else {
            format!("{}.{key}", self.path)
        };
        Self::new(
            &path,
            self.value.and_then(|value| value.get(key)),
            self.faults,
        )
    }

    /// The same place with what its text means.
    pub fn holding<'v>(&self, value: &'v Value) -> Place<'v>
    where
        'd: 'v,
    {
        Place::new(&self.path, Some(value), self.faults)
    }

    /// What stands here, as it is.
    pub fn value(&self) -> Option<&'d Value> {
        self.value
    }

    /// The same place, from where paths begin anew.
    pub fn as_root(&self) -> Self {
        Self {
            path: String::new(),
            ..self.clone()
        }
    }

    /// Notes a fault here.
    pub fn fault(&self, message: impl Display) {
        self.note(&self.faults.faults, message);
    }

    /// Notes that what stands here is known, but can't be run.
    pub fn unsupported(&self, what: impl Display) {
        let message = format_args!("{what} is not supported by this version yet");
        self.note(&self.faults.lacks, message);
    }

    fn note(&self, list: &RefCell<Vec<Fault>>, message: impl Display) {
        list.borrow_mut().push(Fault {
            path: self.path.clone(),
            message: message.to_string(),
        });
    }

    /// Whether anything stands here.
    pub fn is_present(&self) -> bool {
        self.value.is_some()
    }

    /// Whether something stands here that says something: no empty text, list or object.
    pub fn is_filled(&self) -> bool {
        match self.value {
            None => false,
            Some(Value::String(text)) => !text.trim().is_empty(),
            Some(Value::Array(items)) => !items.is_empty(),
            Some(Value::Object(members)) => !members.is_empty(),
            Some(_) => true,
        }
    }

    /// `self` when something stands here, else `other`.
    pub fn or(self, other: Self) -> Self {
        if self.is_present() { self } else { other }
    }

    /// Notes a fault when nothing stands here; `self` otherwise.
    pub fn required(self) -> Option<Self> {
        if self.is_present() {
            return Some(self);
        }
        self.fault("is required");
        None
    }

    fn expect<T>(&self, wanted: &str, read: impl FnOnce(&'d Value) -> Option<T>) -> Option<T> {
        let value = self.value?;
        let read = read(value);
        if read.is_none() {
            self.fault(format_args!("must be {wanted}, not {}", kind(value)));
        }
        read
    }

    /// An object.
    pub fn object(&self) -> Option<&'d Map<String, Value>> {
        self.expect("an object", Value::as_object)
    }

    /// The members of an object, in the submitted order.
    pub fn members(&self) -> Vec<(&'d str, Self)> {
        let members = self.object().into_iter().flatten();
        members
            .map(|(key, _)| (key.as_str(), self.at(key)))
            .collect()
    }

    /// The items of a list; `null` items count as absent.
    pub fn items(&self) -> Option<Vec<Self>> {
        let items = self.expect("a list", Value::as_array)?;
        let item = |(index, value)| {
            Self::new(&format!("{}[{index}]", self.path), Some(value), self.faults)
        };
        Some(items.iter().enumerate().map(item).collect())
    }

    /// Whether a list stands here.
    pub fn is_list(&self) -> bool {
        self.value.is_some_and(Value::is_array)
    }

    /// Text, possibly empty.
    pub fn text(&self) -> Option<&'d str> {
        self.expect("text", Value::as_str)
    }

    /// Text that says something: blank counts as absent.
    pub fn some_text(&self) -> Option<&'d str> {
        self.text().filter(|text| !text.trim().is_empty())
    }

    /// Text that must be there and say something.
    pub fn required_text(&self) -> Option<&'d str> {
        let text = self.clone().required()?.text()?;
        if text.trim().is_empty() {
            self.fault("must not be empty");
            return None;
        }
        Some(text)
    }

    /// `true` or `false`.
    pub fn flag(&self, default: bool) -> bool {
        self.expect("true or false", Value::as_bool)
            .unwrap_or(default)
    }

    /// A number within a range.
    pub fn number(&self, range: RangeInclusive<f64>) -> Option<f64> {
        let number = self.expect("a number", Value::as_f64)?;
        self.within(range, number)
    }

    /// A whole number within a range; `10.0` counts as whole.
    pub fn whole(&self, range: RangeInclusive<u32>) -> Option<u32> {
        let number = self.expect("a whole number", |value| {
            value.as_f64().filter(|n| n.fract() == 0.0)
        })?;
        let (low, high) = range.into_inner();
        self.within(f64::from(low)..=f64::from(high), number)
            .map(|number| number as u32)
    }

    fn within(&self, range: RangeInclusive<f64>, number: f64) -> Option<f64> {
        if range.contains(&number) {
            return Some(number);
        }
        let (low, high) = range.into_inner();
        self.fault(format_args!(
            "must be between {low} and {high}, not {number}"
        ));
        None
    }

    /// A time given in seconds, fractions allowed; in ms.
    pub fn seconds_as_ms(&self, shortest_s: f64) -> Option<u64> {
        self.number(shortest_s..=LONGEST_S)
            .map(|seconds| (seconds * 1000.0).round() as u64)
    }

    /// A time given in ms.
    pub fn ms(&self) -> Option<u64> {
        self.number(0.0..=LONGEST_S * 1000.0)
            .map(|ms| ms.round() as u64)
    }

    /// One of these words.
    pub fn word(&self, words: &[&'static str]) -> Option<&'static str> {
        let text = self.text()?;
        let found = words.iter().find(|word| **word == text).copied();
        if found.is_none() {
            self.fault(format_args!(
                "unknown value {text:?}; one of {}",
                words.join(", ")
            ));
        }
        found
    }

    /// One of these names of a `kind` of thing. `known` ones that don't run yet are told apart from
    /// names nobody knows.
    pub fn choice(
        &self,
        kind: &str,
        runs: &[&'static str],
        known: &[&str],
    ) -> Option<&'static str> {
        let text = self.text()?;
        let found = runs.iter().find(|name| **name == text).copied();
        if found.is_none() {
            let runs = runs.join(", ");
            if known.contains(&text) {
                let message = format_args!(
                    "{kind} {text:?} is not supported by this version yet; one of {runs}"
                );
                self.note(&self.faults.lacks, message);
            } else {
                self.fault(format_args!("unknown {kind} {text:?}; one of {runs}"));
            }
        }
        found
    }

    /// An `http` or `https` address; empty text counts as absent.
    pub fn url(&self) -> Option<Url> {
        let url = Url::parse(self.some_text()?);
        let url = url
            .ok()
            .filter(|url| matches!(url.scheme(), "http" | "https") && url.has_host());
        if url.is_none() {
            self.fault("must be an address that begins with https:// or http://");
        }
        url
    }

    /// A list of texts, none of them blank.
    pub fn texts(&self) -> Option<Vec<String>> {
        let items = self.items()?;
        Some(
            items
                .iter()
                .filter_map(|item| item.required_text().map(str::to_owned))
                .collect(),
        )
    }

    /// One text, or one per language; what says nothing counts as absent.
    pub fn local_text(&self) -> Option<LocalText> {
        match self.value? {
            Value::String(_) => self.some_text().map(|text| LocalText::One(text.to_owned())),
            Value::Object(_) => {
                let texts: IndexMap<String, String> = (self.members().into_iter())
                    .filter_map(|(language, place)| {
                        Some((language.to_owned(), place.some_text()?.to_owned()))
                    })
                    .collect();
                (!texts.is_empty()).then_some(LocalText::ByLanguage(texts))
            }
            other => {
                self.fault(format_args!(
                    "must be text, or an object of language: text, not {}",
                    kind(other)
                ));
                None
            }
        }
    }
}

/// Reads a whole document, with its faults where it has any. `read` answers `None` only after a fault.
pub(crate) fn read_whole<T>(
    document: &Value,
    read: impl FnOnce(&Place<'_>) -> Option<T>,
) -> Result<T, Faults> {
    let faults = FaultList::default();
    let place = Place::new("", Some(document), &faults);
    let read = match place.is_present() {
        true => read(&place),
        false => {
            place.fault("must be an object");
            None
        }
    };
    match (read, faults.into_all()) {
        (Some(read), faults) if faults.is_empty() => Ok(read),
        (_, faults) => Err(Faults(faults)),
    }
}

fn kind(value: &Value) -> &'static str {
    match value {
        Value::Null => "null",
        Value::Bool(_) => "true or false",
        Value::Number(number) if number.as_f64().is_some_and(|n| n.fract() != 0.0) => "a fraction",
        Value::Number(_) => "a number",
        Value::String(_) => "text",
        Value::Array(_) => "a list",
        Value::Object(_) => "an object",
    }
}

//! The table of texts that are spoken in tones, shared by all fakes of this process.

use std::{
    collections::HashMap,
    sync::{Arc, LazyLock, Mutex, MutexGuard, PoisonError},
};

use super::TEXTS;

#[derive(Default)]
struct Table {
    numbers: HashMap<Arc<str>, u16>,
    texts: Vec<Arc<str>>,
    next: u16,
    forgotten: usize,
}

static TABLE: LazyLock<Mutex<Table>> = LazyLock::new(Mutex::default);

fn table() -> MutexGuard<'static, Table> {
    TABLE.lock().unwrap_or_else(PoisonError::into_inner)
}

/// The number of a text; the oldest text gives up its number when the table is full.
pub(super) fn number_of(text: &str) -> u16 {
    let mut table = table();
    if let Some(number) = table.numbers.get(text) {
        return *number;
    }
    let number = table.next;
    table.next = (number + 1) % TEXTS as u16;
    let text: Arc<str> = text.into();
    if let Some(old) = table.texts.get(usize::from(number)).cloned() {
        table.numbers.remove(&old);
        table.forgotten += 1;
        table.texts[usize::from(number)] = text.clone();
    } else {
        table.texts.push(text.clone());
    }
    table.numbers.insert(text, number);
    number
}

/// Texts that gave up their numbers so far.
pub(crate) fn forgotten() -> usize {
    table().forgotten
}

/// The text of a number, if there is one.
pub(super) fn text_of(number: u16) -> Option<Arc<str>> {
    table().texts.get(usize::from(number)).cloned()
}

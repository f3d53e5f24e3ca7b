//! Models that are packaged in ONNX Runtime's own format (`.ort`, a flatbuffer) written as plain ONNX, once,
//! when they are fetched. What comes out is the same to the byte each time, so that its sum is known.
//! Sources: ONNX Runtime's `ort.fbs`, ONNX's `onnx.proto3`.

mod flatbuffer;
mod protobuf;

use flatbuffer::Table;
use protobuf::Message;

/// The input is no `.ort` file, or one with nodes that only ONNX Runtime knows.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Unreadable {
    #[error("it is no model in ONNX Runtime's format")]
    Format,
    #[error("its node {0} is known to ONNX Runtime only")]
    Node(String),
}

/// `TypeInfoValue.tensor_type`.
const TENSOR: u8 = 1;
/// `DimensionValueType`.
const BY_VALUE: u8 = 1;
const BY_NAME: u8 = 2;

/// The same model in ONNX.
pub(crate) fn onnx_of_ort(ort: &[u8]) -> Result<Vec<u8>, Unreadable> {
    if ort.get(4..8) != Some(b"ORTM") {
        return Err(Unreadable::Format);
    }
    let session = Table::root(ort).ok_or(Unreadable::Format)?;
    let model = session.table(1).ok_or(Unreadable::Format)?;
    let whole = model.table(7).ok_or(Unreadable::Format)?;
    let mut out = Message::default();
    out.int(1, model.i64(0));
    out.message(7, graph(whole)?);
    for set in model.tables(1) {
        // Only the standard operators are written.
        if set.text(0).is_empty() {
            let mut version = Message::default();
            version.int(2, set.i64(1));
            out.message(8, version);
        }
    }
    Ok(out.into_bytes())
}

fn graph(from: Table<'_>) -> Result<Message, Unreadable> {
    let mut out = Message::default();
    for one in from.tables(2) {
        out.message(1, node(one)?);
    }
    out.text(2, "graph");
    for weights in from.tables(0) {
        out.message(5, tensor(weights));
    }
    let values: Vec<Table<'_>> = from.tables(1).collect();
    for (field, slot) in [(11, 5), (12, 6)] {
        for name in from.texts(slot) {
            let described = values.iter().find(|value| value.text(0) == name);
            out.message(field, value(name, described.copied()));
        }
    }
    Ok(out)
}

fn node(from: Table<'_>) -> Result<Message, Unreadable> {
    let kind = from.text(5);
    if !from.text(2).is_empty() {
        return Err(Unreadable::Node(format!("{}.{kind}", from.text(2))));
    }
    let mut out = Message::default();
    // An empty name stands for an input that is left out, so it must be written.
    from.texts(8).for_each(|name| out.text(1, name));
    from.texts(9).for_each(|name| out.text(2, name));
    out.text(3, from.text(0));
    out.text(4, kind);
    for one in from.tables(10) {
        out.message(5, attribute(one)?);
    }
    Ok(out)
}

fn attribute(from: Table<'_>) -> Result<Message, Unreadable> {
    let mut out = Message::default();
    out.text(1, from.text(0));
    // The kinds have the same numbers in both formats.
    let kind = from.i32(2);
    match kind {
        1 => out.float(2, from.f32(3)),
        2 => out.int(3, from.i64(4)),
        3 => out.text(4, from.text(5)),
        4 => out.message(5, tensor(from.table(6).ok_or(Unreadable::Format)?)),
        5 => out.message(6, graph(from.table(7).ok_or(Unreadable::Format)?)?),
        6 => from.f32s(8).for_each(|float| out.float(7, float)),
        7 => from.i64s(9).for_each(|int| out.int(8, int)),
        8 => from.texts(10).for_each(|text| out.text(9, text)),
        _ => return Err(Unreadable::Format),
    }
    out.int(20, i64::from(kind));
    Ok(out)
}

fn tensor(from: Table<'_>) -> Message {
    let mut out = Message::default();
    from.i64s(2).for_each(|size| out.int(1, size));
    out.int(2, i64::from(from.i32(3)));
    out.text(8, from.text(0));
    out.bytes(9, from.bytes(4));
    out
}

/// An input or output of a graph, with its type where that is known.
fn value(name: &str, described: Option<Table<'_>>) -> Message {
    let mut out = Message::default();
    out.text(1, name);
    let kind = described.and_then(|value| value.table(2));
    let of_tensor = kind.filter(|kind| kind.u8(1) == TENSOR);
    if let Some(from) = of_tensor.and_then(|kind| kind.table(2)) {
        let mut typed = Message::default();
        typed.int(1, i64::from(from.i32(0)));
        if let Some(sizes) = from.table(1) {
            typed.message(2, shape(sizes));
        }
        let mut outer = Message::default();
        outer.message(1, typed);
        out.message(2, outer);
    }
    out
}

fn shape(from: Table<'_>) -> Message {
    let mut out = Message::default();
    for size in from.tables(0) {
        let mut dimension = Message::default();
        if let Some(value) = size.table(0) {
            match value.u8(0) {
                BY_VALUE => dimension.int(1, value.i64(1)),
                BY_NAME => dimension.text(2, value.text(2)),
                _ => {}
            }
        }
        out.message(1, dimension);
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_no_model_is_refused() {
        for bytes in [
            &b""[..],
            b"ORTM",
            b"\x10\0\0\0ONNX",
            b"\xff\xff\xff\xffORTM",
            b"\x08\0\0\0ORTM\xff\xff\xff\x7f\0\0\0\0",
        ] {
            assert_eq!(onnx_of_ort(bytes), Err(Unreadable::Format), "{bytes:?}");
        }
    }
}

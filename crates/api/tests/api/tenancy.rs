//! Whatever id of another account a request names, it is answered as an id that nobody has, changes nothing
//! there and shows nothing of it: every operation under every spelling, every parameter.

use std::{cell::RefCell, collections::BTreeSet};

use serde_json::Value;

use crate::{
    bolo::{Bolo, Reply},
    operations::{Operation, is_plain, nobodys},
    tenant::Tenant,
};

/// What requests say that names nothing of an account.
const NAMELESS: &[&str] = &[
    "mark",
    "new_name",
    "new_number",
    "version",
    "against",
    "provider",
    "country",
    "q",
];
/// Other people's dispositions, and agents of dispositions, are forbidden; unknown ones are not found
/// (api.md §2, §17).
const FORBIDDEN_NOT_HIDDEN: &str = "dispositions";
/// What a sub-account reads of the account that it belongs to (api.md §16).
const READ_BELOW: [&str; 2] = ["get /extractions", "get /extractions/{template_id}"];

#[tokio::test]
async fn nothing_of_another_account_is_found_changed_or_shown() {
    let bolo = Bolo::start().await;
    let first = Tenant::fill(&bolo, (bolo.account, bolo.key.clone()), "alpha", true).await;
    let below = first.new_sub_account(&bolo).await;
    let below = Tenant::fill(&bolo, below, "below", false).await;
    let stranger = Tenant::fill(&bolo, bolo.new_stranger().await, "omega", true).await;
    for (victim, visitor) in [(&first, &stranger), (&first, &below), (&below, &first)] {
        let who = format!("{} visits {}", visitor.mark, victim.mark);
        let before = state(&bolo, victim).await;
        let mut faults = Vec::new();
        for (what, shown) in state(&bolo, visitor).await {
            if !reads_below(&what, victim, visitor) {
                faults.extend(leaks(&what, &shown, victim, &[]));
            }
        }
        let mut operations = Operation::all();
        // Deletions first: what is put under another's name is the visitor's own from then on.
        operations.sort_by(|one, other| one.what.cmp(&other.what));
        for operation in operations {
            visit(&bolo, &operation, victim, visitor, &mut faults).await;
        }
        assert!(faults.is_empty(), "{who}: {faults:#?}");
        let after = state(&bolo, victim).await;
        for ((what, before), (_, after)) in before.iter().zip(&after) {
            let may = may_change(what, victim, visitor);
            assert!(may || before == after, "{who}: {what}: {before}\n{after}");
        }
    }
}

fn reads_below(what: &str, victim: &Tenant, visitor: &Tenant) -> bool {
    READ_BELOW.contains(&what) && (victim.mark, visitor.mark) == ("alpha", "below")
}

/// A link is signed anew for each who asks; what a sub-account does counts in its parent's figures.
fn may_change(what: &str, victim: &Tenant, visitor: &Tenant) -> bool {
    let is_below = (victim.mark, visitor.mark) == ("alpha", "below");
    what.ends_with("/link") || is_below && what.ends_with("/usage")
}

/// What an answer shows of the victim that was not sent.
fn leaks(about: &str, shown: &str, victim: &Tenant, sent: &[String]) -> Vec<String> {
    let marks = std::iter::once(victim.mark).chain(victim.things.values().map(String::as_str));
    marks
        .filter(|mark| shown.contains(mark) && !sent.iter().any(|sent| sent.contains(mark)))
        .map(|mark| format!("{about} shows {mark:?}: {shown}"))
        .collect()
}

/// Everything that an account can read of itself.
async fn state(bolo: &Bolo, of: &Tenant) -> Vec<(String, String)> {
    let mut state = Vec::new();
    for operation in Operation::all() {
        let reads = operation.method == "get" && !operation.is_open() && operation.path != "/audit";
        if !reads || !has_all(&operation, of) {
            continue;
        }
        let reply = of.ask(bolo, &operation).await;
        let text = match serde_json::from_slice(&reply.bytes) {
            Ok(json) => {
                without(json, &["humanized_created_at", "humanized_updated_at"]).to_string()
            }
            Err(_) => reply.text(),
        };
        state.push((operation.what, format!("{} {text}", reply.status)));
    }
    state
}

/// A sub-account has no templates and no sub-accounts.
fn has_all(operation: &Operation, tenant: &Tenant) -> bool {
    ["template_id", "sub_account_id"].iter().all(|name| {
        !operation.parameters().iter().any(|one| one == name) || tenant.things.contains_key(name)
    })
}

fn without(value: Value, keys: &[&str]) -> Value {
    match value {
        Value::Object(fields) => fields
            .into_iter()
            .filter(|(key, _)| !keys.contains(&key.as_str()))
            .map(|(key, value)| (key, without(value, keys)))
            .collect(),
        Value::Array(items) => items.into_iter().map(|one| without(one, keys)).collect(),
        other => other,
    }
}

/// Names the victim's things one by one, and all at once.
async fn visit(
    bolo: &Bolo,
    operation: &Operation,
    victim: &Tenant,
    visitor: &Tenant,
    faults: &mut Vec<String>,
) {
    let what = &operation.what;
    let named = RefCell::new(BTreeSet::new());
    operation.request("", &|name| {
        if !NAMELESS.contains(&name) {
            named.borrow_mut().insert(name.to_owned());
        }
        name.to_owned()
    });
    let named = named.into_inner();
    for parameter in operation.parameters() {
        let thing = operation
            .thing(&parameter)
            .filter(|_| !is_plain(&parameter));
        let known = thing.map_or(is_plain(&parameter), |thing| named.contains(thing));
        if !known {
            faults.push(format!("{what}: no request names its {parameter}"));
        }
    }
    if reads_below(what, victim, visitor) {
        return;
    }
    let mut attempts: Vec<BTreeSet<&str>> = named
        .iter()
        .map(|name| BTreeSet::from([name.as_str()]))
        .collect();
    attempts.push(named.iter().map(String::as_str).collect());
    attempts.retain(|foreign| !foreign.is_empty());
    attempts.dedup();
    for foreign in attempts {
        let of = |tenant: &Tenant, name: &str| match tenant.things.contains_key(name) {
            false if ["template_id", "sub_account_id"].contains(&name) => nobodys(name, ""),
            _ => tenant.own(name),
        };
        let theirs = |name: &str| match foreign.contains(name) {
            true => of(victim, name),
            false => of(visitor, name),
        };
        let nobodys = |name: &str| match foreign.contains(name) {
            true => nobodys(name, &of(victim, name)),
            false => of(visitor, name),
        };
        let answer = bolo.send(operation.request(&visitor.key, &theirs)).await;
        let unknown = bolo.send(operation.request(&visitor.key, &nobodys)).await;
        let about = format!("{what} with {foreign:?}");
        let sent: Vec<String> = foreign.iter().map(|name| theirs(name)).collect();
        faults.extend(leaks(&about, &answer.text(), victim, &sent));
        let (told, wanted) = (plain(&answer), plain(&unknown));
        let forbidden =
            answer.status == 403 && unknown.status == 404 && what.contains(FORBIDDEN_NOT_HIDDEN);
        if told != wanted && !forbidden {
            faults.push(format!("{about}: {told}\n  of nobody's: {wanted}"));
        }
    }
}

/// What an answer says, apart from its ids, names and times.
fn plain(reply: &Reply) -> String {
    let text = match serde_json::from_slice(&reply.bytes) {
        Ok(json) => blurred(without(json, &["version", "name"])).to_string(),
        Err(_) => reply.text(),
    };
    format!("{} {text}", reply.status)
}

fn blurred(value: Value) -> Value {
    match value {
        Value::Object(fields) => (fields.into_iter())
            .map(|(key, value)| (key, blurred(value)))
            .collect(),
        Value::Array(items) => items.into_iter().map(blurred).collect(),
        Value::String(text) if text.starts_with("20") && text.ends_with('Z') => "(time)".into(),
        Value::String(text) => {
            let words = text.split([' ', '/', '?', '&', '=']);
            let blur = |word: &str| match word {
                id if uuid::Uuid::try_parse(id).is_ok() => "(id)".to_owned(),
                number if number.starts_with("+1415") => "(number)".to_owned(),
                other => other.to_owned(),
            };
            words.map(blur).collect::<Vec<_>>().join(" ").into()
        }
        other => other,
    }
}

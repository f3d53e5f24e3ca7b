//! Our clients against the simulator's vendors, whose wire is written apart from ours: what both take
//! for the vendor's wire is likely to be it.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod answering;
mod listening;
mod speaking;

use std::collections::HashMap;

use bolo_providers::{Error, Keys, PublicClient, Reach, Session, VendorSettings, Vendors, http};
use secrecy::SecretString;

/// Vendors whose `name` is the fake at `base_url`.
fn vendors(name: &str, base_url: String, key: &str) -> Vendors {
    let settings = VendorSettings {
        base_url: Some(base_url),
        api_key: Some(SecretString::from(key)),
    };
    let tls = http::tls_config().unwrap();
    let client = http::client(&tls).unwrap();
    let of_agents = PublicClient::for_models(&tls, Reach::default()).unwrap();
    let models = bolo_models::Store::new(None, std::env::temp_dir());
    Vendors::new(
        HashMap::from([(name.to_owned(), settings)]),
        models,
        1,
        client,
        of_agents,
        tls,
    )
}

/// No keys but the server's.
fn keys() -> Keys {
    Keys::default()
}

/// Everything a session tells, and the error that ended it.
async fn all<In, Out>(mut session: Session<In, Out>) -> (Vec<Out>, Option<Error>) {
    drop(session.input);
    let mut facts = Vec::new();
    while let Some(fact) = session.output.recv().await {
        match fact {
            Ok(fact) => facts.push(fact),
            Err(error) => return (facts, Some(error)),
        }
    }
    (facts, None)
}

/// Which vendor passes what, as a table in Markdown.
fn table(passed: &[(&str, &[&str])]) -> String {
    let mut tests: Vec<&str> = Vec::new();
    for test in passed.iter().flat_map(|(_, tests)| *tests) {
        if !tests.contains(test) {
            tests.push(test);
        }
    }
    let names: Vec<&str> = passed.iter().map(|(name, _)| *name).collect();
    let mut table = format!("| rule | {} |\n|---|", names.join(" | "));
    table += &"---|".repeat(names.len());
    for test in tests {
        table += &format!("\n| {} |", test.replace('_', " "));
        for (_, passes) in passed {
            table += if passes.contains(&test) {
                " yes |"
            } else {
                " – |"
            };
        }
    }
    table
}

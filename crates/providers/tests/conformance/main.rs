//! Our clients against the simulator's vendors, whose wire is written apart from ours: what both take
//! for the vendor's wire is likely to be it.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

/// A suite: what every vendor passes, then the vendors: how each is set up, and what it passes besides.
macro_rules! conforms {
    (every [$($every:ident)+]; $($vendor:ident: $subject:expr => [$($besides:ident)*];)+) => {
        const EVERY: &[&str] = &[$(stringify!($every)),+];
        const BESIDES: &[(&str, &[&str])] =
            &[$((stringify!($vendor), &[$(stringify!($besides)),*])),+];

        /// What the document says of vendors is what this suite shows.
        #[test]
        fn the_table_of_rules_is_current() {
            crate::assert_documented(EVERY, BESIDES);
        }

        conforms!(@vendors [$($every)+]; $($vendor: $subject => [$($besides)*];)+);
    };
    (@vendors $every:tt; $($vendor:ident: $subject:expr => $besides:tt;)+) => {
        $(mod $vendor {
            use super::*;

            conforms!(@tests $subject, $every);
            conforms!(@tests $subject, $besides);
        })+
    };
    (@tests $subject:expr, [$($test:ident)*]) => {
        $(#[tokio::test]
        async fn $test() {
            let test = async { super::$test($subject).await };
            tokio::time::timeout(crate::LIMIT, test).await.expect("it never ends");
        })*
    };
}

mod answering;
mod listening;
mod speaking;

use std::{collections::HashMap, time::Duration};

use bolo_providers::{Error, Keys, PublicClient, Reach, Session, VendorSettings, Vendors, http};
use secrecy::SecretString;

/// No test takes as long.
const LIMIT: Duration = Duration::from_secs(30);

/// Vendors whose `name` is the fake at `base_url`.
fn vendors(name: &str, base_url: String, key: &str) -> Vendors {
    let settings = VendorSettings {
        base_url: Some(base_url),
        api_key: Some(SecretString::from(key)),
    };
    let tls = http::tls_config(&[]).unwrap();
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

/// That `docs/vendors.md` holds the table of which vendor passes what.
fn assert_documented(every: &[&str], besides: &[(&str, &[&str])]) {
    let table = table(every, besides);
    let document = include_str!("../../../../docs/vendors.md");
    assert!(
        document.contains(&table),
        "docs/vendors.md is to hold\n{table}"
    );
}

fn table(every: &[&str], besides: &[(&str, &[&str])]) -> String {
    let mut tests = every.to_vec();
    for test in besides.iter().flat_map(|(_, tests)| *tests) {
        if !tests.contains(test) {
            tests.push(test);
        }
    }
    let names: Vec<&str> = besides.iter().map(|(name, _)| *name).collect();
    let mut table = format!("| rule | {} |\n|---|", names.join(" | "));
    table += &"---|".repeat(names.len());
    for test in tests {
        table += &format!("\n| {} |", test.replace('_', " "));
        for (_, passes) in besides {
            table += match every.contains(&test) || passes.contains(&test) {
                true => " yes |",
                false => " – |",
            };
        }
    }
    table
}

//! Phone numbers: found, bought, pointed at us, given back; and a purchase that nobody knows the outcome of.

use bolo_execution::E164;
use bolo_simulator::carrier::{DialFault, FakeCarrier, Kind, Options};
use bolo_telephony::{CarrierAccount, InboundUrls, NumberSearch, Numbers, NumbersError};

use crate::account;

rules! {
    a_number_from_search_to_release: twilio plivo;
    a_country_and_a_pattern_narrow_the_search: twilio plivo;
    a_purchase_without_an_answer_is_looked_up_and_never_repeated: twilio plivo;
    a_refused_purchase_says_why: twilio plivo;
    nobody_listening_means_not_bought: twilio plivo;
}

fn urls() -> InboundUrls {
    InboundUrls {
        answer: "https://bolo.example.com/inbound_call?agent_id=1&user_id=2".into(),
        status: "https://bolo.example.com/inbound_status?agent_id=1&user_id=2".into(),
    }
}

async fn world(carrier: Kind) -> (FakeCarrier, CarrierAccount) {
    let fake = FakeCarrier::start(carrier, Options::default())
        .await
        .unwrap();
    let account = account(&fake);
    (fake, account)
}

fn numbers(account: &CarrierAccount) -> &dyn Numbers {
    account.carrier.numbers().unwrap()
}

fn new() -> E164 {
    "+14155550121".parse().unwrap()
}

async fn listed(account: &CarrierAccount) -> Vec<String> {
    let all = numbers(account).list().await.unwrap();
    all.iter().map(|owned| owned.number.to_string()).collect()
}

async fn a_number_from_search_to_release(carrier: Kind) {
    let (fake, account) = world(carrier).await;
    let numbers = numbers(&account);
    let search = NumberSearch {
        country: "US".into(),
        pattern: Some("415".into()),
        region: None,
    };
    let found = numbers.search(&search).await.unwrap();
    let found: Vec<&str> = found.iter().map(|found| found.number.as_str()).collect();
    assert_eq!(found, ["+14155550121", "+14155550122"]);

    let bought = numbers.buy(&new()).await.unwrap();
    assert_eq!(bought.number, new());
    assert_eq!(listed(&account).await, ["+14155550100", "+14155550121"]);

    // Twice is as good as once.
    for _ in 0..2 {
        let urls = urls();
        numbers.set_inbound_urls(&new(), Some(&urls)).await.unwrap();
    }
    let number = |wanted: &str| {
        let mut all = fake.numbers().into_iter();
        all.find(|number| number.phone_number == wanted).unwrap()
    };
    let rules = "#rc=2&rp=ct,rt,5xx&ct=2000&rt=4000";
    let set = number("+14155550121");
    let (answer, status) = (urls().answer + rules, urls().status + rules);
    assert_eq!(
        [set.voice_url, set.voice_fallback_url, set.status_callback],
        [answer.clone(), answer, status]
    );
    assert_eq!(number("+14155550100").voice_url, "");
    numbers.set_inbound_urls(&new(), None).await.unwrap();
    if carrier == Kind::Twilio {
        let set = number("+14155550121");
        assert_eq!(
            [set.voice_url, set.voice_fallback_url, set.status_callback],
            [""; 3]
        );
    }

    for _ in 0..2 {
        numbers.release(&new()).await.unwrap();
    }
    assert_eq!(listed(&account).await, ["+14155550100"]);
    assert!(matches!(
        numbers.set_inbound_urls(&new(), Some(&urls())).await,
        Err(NumbersError::Refused { .. })
    ));
}

async fn a_country_and_a_pattern_narrow_the_search(carrier: Kind) {
    let (_fake, account) = world(carrier).await;
    let search = async |country: &str, pattern: Option<&str>| {
        let search = NumberSearch {
            country: country.into(),
            pattern: pattern.map(str::to_owned),
            region: None,
        };
        let found = numbers(&account).search(&search).await;
        found.map(|found| found.len())
    };
    assert_eq!(search("us", None).await, Ok(2));
    assert_eq!(search("US", Some("212")).await, Ok(0));
    assert_eq!(search("IN", Some("80")).await, Ok(1));
    assert!(matches!(
        search("XX", None).await,
        Err(NumbersError::Refused { .. })
    ));
}

async fn a_purchase_without_an_answer_is_looked_up_and_never_repeated(carrier: Kind) {
    for (fault, bought) in [
        (DialFault::ErrorAfterPlacing {}, true),
        (DialFault::ResetAfterPlacing {}, true),
        (DialFault::TruncatedJson {}, true),
        (DialFault::ErrorBeforePlacing {}, false),
        (DialFault::ResetBeforePlacing {}, false),
    ] {
        let (fake, account) = world(carrier).await;
        fake.fail_next_purchases([fault.clone()]);
        let outcome = numbers(&account).buy(&new()).await;
        assert!(
            matches!(outcome, Err(NumbersError::Unknown(_))),
            "{fault:?}: {outcome:?}"
        );
        assert_eq!(fake.ledger().purchases(), ["+14155550121"], "{fault:?}");
        let found = listed(&account).await.contains(&"+14155550121".to_owned());
        assert_eq!(found, bought, "{fault:?}");
    }
}

async fn a_refused_purchase_says_why(carrier: Kind) {
    let (fake, account) = world(carrier).await;
    fake.fail_next_purchases([
        DialFault::unauthorized(),
        DialFault::too_many(3),
        DialFault::bad_request_saying("compliance_application_id is required"),
    ]);
    let buy = async |number: &str| numbers(&account).buy(&number.parse().unwrap()).await;
    let refused = |outcome| match outcome {
        Err(NumbersError::Refused { code, message }) => (code, message),
        other => panic!("{other:?}"),
    };
    let (_, why) = refused(buy("+14155550121").await);
    assert!(why.contains("AUTH_TOKEN"), "{why}");
    assert!(matches!(
        buy("+14155550121").await,
        Err(NumbersError::Unreachable(_))
    ));
    let (_, why) = refused(buy("+14155550121").await);
    assert!(why.contains("compliance_application_id"), "{why}");
    let (code, _) = refused(buy("+14155550199").await);
    let taken = match carrier {
        Kind::Twilio => 21422,
        _ => 404,
    };
    assert_eq!(code, taken);
    assert_eq!(listed(&account).await, ["+14155550100"]);
}

async fn nobody_listening_means_not_bought(carrier: Kind) {
    let (fake, account) = world(carrier).await;
    drop(fake);
    let outcome = numbers(&account).buy(&new()).await;
    assert!(
        matches!(outcome, Err(NumbersError::Unreachable(_))),
        "{outcome:?}"
    );
}

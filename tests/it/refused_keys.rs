//! A vendor that refuses a key: two calls find it out, and no third is dialled (R196).

use bolo_simulator::{deepgram, elevenlabs, llm};
use rstest::rstest;
use serde_json::{Value, json};

use crate::support::{Database, Fakes, THEIRS, World, agent};

enum Of {
    Transcriber,
    Synthesizer,
    Llm,
}

impl Of {
    /// As its errors begin, and its key's name.
    fn names(&self) -> (&'static str, &'static str) {
        match self {
            Self::Transcriber => ("deepgram transcriber: ", "DEEPGRAM_API_KEY"),
            Self::Synthesizer => ("elevenlabs synthesizer: ", "ELEVENLABS_API_KEY"),
            Self::Llm => ("openai llm: ", "OPENAI_API_KEY"),
        }
    }

    fn good_key<'a>(&self, fakes: &'a Fakes) -> &'a str {
        match self {
            Self::Transcriber => fakes.deepgram.api_key(),
            Self::Synthesizer => fakes.elevenlabs.api_key(),
            Self::Llm => fakes.llm.api_key(),
        }
    }

    fn refuses(&self, fakes: &Fakes) {
        let refused = llm::Fault::Status {
            status: 401,
            retry_after_s: None,
        };
        match self {
            Self::Transcriber => {
                (fakes.deepgram).fail_next(vec![deepgram::Fault::Status(401); 50]);
            }
            Self::Synthesizer => {
                (fakes.elevenlabs).fail_next(vec![elevenlabs::Fault::Status(401); 50]);
            }
            Self::Llm => fakes.llm.fail_next(vec![refused; 50]),
        }
    }
}

#[rstest]
#[case::transcriber(Of::Transcriber)]
#[case::synthesizer(Of::Synthesizer)]
#[case::llm(Of::Llm)]
#[tokio::test]
async fn nobody_is_called_in_vain_until_the_key_is_another(#[case] of: Of) {
    let world = World::start(Database::Sqlite).await;
    let fakes = &world.fakes;
    of.refuses(fakes);
    let mut agent = agent();
    // The first turn asks the model.
    if matches!(of, Of::Llm) {
        agent["agent_config"]["agent_welcome_message"] = "".into();
    }
    let agent = world.server.create_agent(&agent).await;
    for placed in 1..=2 {
        let execution = world.server.call(&agent, THEIRS).await;
        let call = fakes.carrier.dialled(THEIRS).await.unwrap();
        if matches!(of, Of::Llm) {
            call.media_opened().await.unwrap();
            call.says("where is my order").await.unwrap();
            call.agent_spoke().await.unwrap();
            call.hangs_up().await.unwrap();
        }
        call.ended().await.unwrap();
        let over =
            |record: &Value| ["completed", "error"].contains(&record["status"].as_str().unwrap());
        world.server.until(&execution, "its end", over).await;
        assert_eq!(fakes.carrier.ledger().placed(), placed);
    }

    let again = world.server.call(&agent, THEIRS).await;
    let record = world.server.status(&again, "error").await;
    let (who, variable) = of.names();
    let message = record["error_message"].as_str().unwrap();
    assert!(
        message.starts_with(who) && message.contains(variable),
        "{message}"
    );
    assert_eq!(fakes.carrier.ledger().placed(), 2);

    fakes.deepgram.recover();
    fakes.elevenlabs.recover();
    fakes.llm.recover();
    let good = json!({"provider_name": variable, "provider_value": of.good_key(fakes)});
    world.server.post("/providers", good).await;
    let execution = world.server.call(&agent, THEIRS).await;
    let call = fakes.carrier.dialled(THEIRS).await.unwrap();
    call.media_opened().await.unwrap();
    assert_eq!(fakes.carrier.ledger().placed(), 3);
    call.hangs_up().await.unwrap();
    world.server.status(&execution, "completed").await;
    world
        .end(&["transcriber", "synthesizer", "llm", "rendered ahead"])
        .await;
}

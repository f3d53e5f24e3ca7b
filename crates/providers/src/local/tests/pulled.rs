//! The models that are pulled: a neural voice speaks, and both transcribers hear it. `tests/run` fetches them
//! and says where they lie in `BOLO_TEST_MODELS`.

use std::io::Write;

use super::*;

/// Local speech with the pulled models; `None`, loudly, where they are not.
fn pulled() -> Option<&'static Speech> {
    static PULLED: LazyLock<Option<(Speech, TempDir)>> = LazyLock::new(|| {
        let folder = tempfile::tempdir().unwrap();
        let models = std::env::var_os("BOLO_TEST_MODELS")?;
        let models = bolo_models::Store::new(Some(models.into()), folder.path().to_owned());
        for model in ["joe", "moonshine-base-en"] {
            models.check_present(model).unwrap();
        }
        Some((Speech::new(models, 2), folder))
    });
    let speech = PULLED.as_ref().map(|(speech, _)| speech);
    if speech.is_none() {
        // Past the capture of the test runner.
        let _ = writeln!(
            std::io::stderr(),
            "\nSKIPPED: BOLO_TEST_MODELS is not set, so no pulled model is tested; tests/run sets it\n"
        );
    }
    speech
}

#[tokio::test]
async fn a_neural_voice_is_understood_by_both_transcribers() {
    let Some(speech) = pulled() else { return };
    for (text, expected) in [
        (
            "I can book an appointment for you on Tuesday morning.",
            "i can book an appointment for you on tuesday morning",
        ),
        (
            "Can you call me back on Saturday afternoon?",
            "can you call me back on saturday afternoon",
        ),
    ] {
        let (voice, rest) = speak_with(speech, &speak_spec("joe"), &[text]).await;
        assert_eq!(rest.last(), Some(&Spoken::Done { context: 1 }));
        let mut audio = vec![0xFF; 4000];
        audio.extend(voice);
        audio.extend([0xFF; 32_000]);
        for model in ["moonshine-tiny-en", "moonshine-base-en"] {
            let spec = TranscriberSpec {
                model: model.to_owned(),
                ..listen_spec()
            };
            let told = hear_with(speech, &spec, &audio).await;
            // The voice draws noise anew each time; once in a while a word is heard as another.
            let heard = said(&told);
            let missed: Vec<_> = (expected.split(' '))
                .filter(|word| !heard.split(' ').any(|other| other == *word))
                .collect();
            assert!(missed.len() <= 1, "{model} missed {missed:?}: {told:?}");
        }
    }
}

#[tokio::test]
async fn a_neural_voice_bears_any_text_and_any_speed() {
    let Some(speech) = pulled() else { return };
    let spec = |speed| SynthesizerSpec {
        speed,
        ..speak_spec("joe")
    };
    let text = ["Thank you very much for calling us today, how may I help you?"];
    let (normal, _) = speak_with(speech, &spec(1.0), &text).await;
    let (fast, _) = speak_with(speech, &spec(1.5), &text).await;
    let share = fast.len() as f32 / normal.len() as f32;
    assert!((0.5..0.85).contains(&share), "{share}");
    let odd = [
        "",
        "\u{1F600}",
        "[x](/y/) $ ₹ 1/0 #",
        "a",
        "Rajeshwari pays ₹1,50,000 at 3:05.",
        "::: 12:99 2026-13-01 -- +",
    ];
    let (_, rest) = speak_with(speech, &spec(f32::NAN), &odd).await;
    assert_eq!(rest.len(), odd.len() + 1);
}

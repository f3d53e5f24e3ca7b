//! Which key goes where, and what is said when one is missing.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use bolo_agent::{LlmConfig, SynthesizerVendor, TranscriberVendor};
use bolo_audio::Format;
use futures_util::StreamExt;

use super::*;
use crate::{
    ErrorKind, Reach,
    testing::{SocketServer, tls},
};

fn vendors(settings: &[(&str, Option<&str>, Option<&str>)]) -> Vendors {
    let settings = settings
        .iter()
        .map(|(name, base_url, api_key)| {
            let settings = VendorSettings {
                base_url: base_url.map(str::to_owned),
                api_key: api_key.map(SecretString::from),
            };
            ((*name).to_owned(), settings)
        })
        .collect();
    let models = bolo_models::Store::new(None, std::env::temp_dir());
    let tls = tls();
    let http = crate::http::client(&tls).unwrap();
    let of_agents = PublicClient::for_models(&tls, Reach::default()).unwrap();
    Vendors::new(settings, models, 1, http, of_agents, tls)
}

fn keys(entries: &[(&str, &str)]) -> Keys {
    Keys(
        entries
            .iter()
            .map(|(name, key)| ((*name).to_owned(), SecretString::from(*key)))
            .collect(),
    )
}

fn transcriber() -> bolo_agent::Transcriber {
    bolo_agent::Transcriber {
        vendor: TranscriberVendor::Deepgram,
        model: "nova-3".into(),
        language: "en".into(),
        endpointing_ms: 250,
        keywords: Vec::new(),
        flux: None,
        detector: None,
        mip_opt_out: false,
    }
}

fn synthesizer() -> bolo_agent::Synthesizer {
    bolo_agent::Synthesizer {
        vendor: SynthesizerVendor::Elevenlabs,
        voice: "Nila".into(),
        voice_id: "V9".into(),
        model: "eleven_turbo_v2_5".into(),
        language: "en".into(),
        speed: 1.0,
        buffer_size: 250,
        caching: true,
        options: serde_json::Map::new(),
    }
}

fn llm(provider: &str, base_url: Option<&str>) -> LlmConfig {
    LlmConfig {
        provider: provider.into(),
        model: "m".into(),
        family: None,
        max_tokens: 100,
        temperature: 0.1,
        top_p: None,
        top_k: None,
        min_p: None,
        presence_penalty: None,
        frequency_penalty: None,
        stop: Vec::new(),
        request_json: false,
        base_url: base_url.map(|url| url.parse().unwrap()),
        reasoning_effort: None,
        verbosity: None,
        responses: false,
    }
}

#[test]
fn a_missing_key_names_its_variable() {
    let vendors = vendors(&[]);
    let error = vendors
        .transcriber(&transcriber(), &Keys::default(), Format::Mulaw8k)
        .err()
        .unwrap();
    assert_eq!(error.kind, ErrorKind::Auth);
    assert_eq!(
        error.to_string(),
        "deepgram transcriber: no key (set DEEPGRAM_API_KEY or add it with POST /providers)"
    );
    let error = vendors
        .synthesizer(&synthesizer(), &Keys::default(), None, Format::Mulaw8k)
        .err()
        .unwrap();
    assert!(error.to_string().contains("ELEVENLABS_API_KEY"), "{error}");
    let error = vendors
        .llm(&llm("groq", None), &keys(&[("OPENAI", "k")]))
        .err()
        .unwrap();
    assert!(error.to_string().contains("GROQ_API_KEY"), "{error}");
}

#[test]
fn each_voice_says_what_it_lacks() {
    let refusal = |vendors: &Vendors, vendor, own: &[(&str, &str)]| {
        let agent = bolo_agent::Synthesizer {
            vendor,
            ..synthesizer()
        };
        let made = vendors.synthesizer(&agent, &keys(own), None, Format::Mulaw8k);
        made.err().map(|error| error.to_string())
    };
    let bare = vendors(&[]);
    for vendor in SynthesizerVendor::ALL {
        let error = refusal(&bare, vendor, &[]);
        match vendor {
            SynthesizerVendor::Local => assert!(!error.unwrap_or_default().contains("no key")),
            _ => assert!(error.unwrap().contains("no key"), "{vendor:?}"),
        }
    }
    // Azure's address has its region in it, of the account or of the server.
    let azure =
        |vendors: &Vendors, own: &[(&str, &str)]| refusal(vendors, SynthesizerVendor::Azure, own);
    let key = ("AZURE_SPEECH_KEY", "k");
    let error = azure(&bare, &[key]).unwrap();
    assert!(
        error.contains("no region (add AZURE_SPEECH_REGION"),
        "{error}"
    );
    assert_eq!(
        azure(&bare, &[key, ("AZURE_SPEECH_REGION", "westeurope")]),
        None
    );
    let with_address = vendors(&[("azuretts", Some("https://x.example"), Some("k"))]);
    assert_eq!(azure(&with_address, &[]), None);
    // Polly's key has two parts.
    let polly =
        |vendors: &Vendors, own: &[(&str, &str)]| refusal(vendors, SynthesizerVendor::Polly, own);
    let id = ("AWS_ACCESS_KEY_ID", "AKID");
    assert!(
        polly(&bare, &[id])
            .unwrap()
            .contains("AWS_SECRET_ACCESS_KEY")
    );
    assert_eq!(polly(&bare, &[id, ("AWS_SECRET_ACCESS_KEY", "s")]), None);
    let half = vendors(&[("polly", None, Some("AKID"))]);
    assert!(polly(&half, &[]).is_some());
    let whole = vendors(&[("polly", None, Some("AKID:s"))]);
    assert_eq!(polly(&whole, &[]), None);
}

#[test]
fn every_transcriber_names_its_variable_and_takes_its_key() {
    let vendors = vendors(&[]);
    for (vendor, name) in [
        (TranscriberVendor::Elevenlabs, "ELEVENLABS"),
        (TranscriberVendor::Sarvam, "SARVAM"),
        (TranscriberVendor::Openai, "OPENAI"),
        (TranscriberVendor::Soniox, "SONIOX"),
        (TranscriberVendor::Gladia, "GLADIA"),
        (TranscriberVendor::Smallest, "SMALLEST"),
    ] {
        let agent = bolo_agent::Transcriber {
            vendor,
            ..transcriber()
        };
        let of = |keys: &Keys| vendors.transcriber(&agent, keys, Format::Mulaw8k);
        let error = of(&Keys::default()).err().unwrap().to_string();
        assert!(error.contains(&format!("set {name}_API_KEY")), "{error}");
        assert!(error.starts_with(vendor.as_str()), "{error}");
        let (transcriber, spec) = of(&keys(&[(name, "k")])).unwrap();
        assert_eq!(transcriber.name(), vendor.as_str());
        assert!(transcriber.longest_pause_ms(&spec) > u64::from(spec.endpointing_ms));
    }
}

#[test]
fn keys_of_an_account_or_of_the_server() {
    let bare = vendors(&[]);
    for name in ["DEEPGRAM", "DEEPGRAM_API_KEY", "DEEPGRAM_AUTH_TOKEN"] {
        assert!(
            bare.transcriber(&transcriber(), &keys(&[(name, "k")]), Format::Mulaw8k)
                .is_ok(),
            "{name}"
        );
    }
    assert!(
        bare.transcriber(&transcriber(), &keys(&[("DEEPGRAM", "")]), Format::Mulaw8k)
            .is_err()
    );
    let with_key = vendors(&[("elevenlabs", None, Some("k"))]);
    let (_, spec) = with_key
        .synthesizer(
            &synthesizer(),
            &Keys::default(),
            Some("other"),
            Format::Mulaw8k,
        )
        .unwrap();
    assert_eq!(
        (spec.voice_id.as_str(), spec.format),
        ("other", Format::Mulaw8k)
    );
    let (_, spec) = with_key
        .synthesizer(&synthesizer(), &Keys::default(), None, Format::Mulaw8k)
        .unwrap();
    assert_eq!(spec.voice_id, "V9");
}

#[tokio::test]
async fn an_accounts_key_comes_before_the_servers() {
    let mut server = SocketServer::start().await;
    let vendors = vendors(&[("deepgram", Some(&server.base), Some("servers"))]);
    let (deepgram, spec) = vendors
        .transcriber(
            &transcriber(),
            &keys(&[("DEEPGRAM", "own")]),
            Format::Mulaw8k,
        )
        .unwrap();
    let _session = deepgram.open(&spec).await.unwrap();
    assert_eq!(server.peer().await.headers["authorization"], "Token own");
}

#[test]
fn the_servers_key_goes_to_no_address_of_an_agent() {
    let vendors = vendors(&[("openai", None, Some("servers"))]);
    let refused = |base: &str| {
        vendors
            .llm(&llm("openai", Some(base)), &Keys::default())
            .is_err()
    };
    assert!(vendors.llm(&llm("openai", None), &Keys::default()).is_ok());
    assert!(!refused("https://api.openai.com/v1/"));
    assert!(refused("https://thief.example/v1"));
    assert!(
        vendors
            .llm(
                &llm("openai", Some("https://own.example/v1")),
                &keys(&[("OPENAI", "own")])
            )
            .is_ok()
    );
}

#[test]
fn servers_of_ones_own_need_an_address_but_no_key() {
    let bare = vendors(&[]);
    assert!(bare.llm(&llm("ollama", None), &Keys::default()).is_ok());
    assert!(
        bare.llm(
            &llm("custom", Some("https://llm.example.com/v1")),
            &Keys::default()
        )
        .is_ok()
    );
    for name in ["custom", "demo"] {
        let error = bare.llm(&llm(name, None), &Keys::default()).err().unwrap();
        assert!(
            error
                .to_string()
                .contains(&format!("providers.{name}.base_url")),
            "{error}"
        );
    }
    let demo = vendors(&[("demo", Some("http://127.0.0.1:1/v1"), None)]);
    assert_eq!(
        demo.llm(&llm("demo", None), &Keys::default())
            .unwrap()
            .name(),
        "demo"
    );
}

#[test]
fn an_unknown_provider_is_told_what_there_is() {
    let error = vendors(&[])
        .llm(&llm("oracle", None), &Keys::default())
        .err()
        .unwrap();
    assert!(
        error.to_string().contains("oracle") && error.to_string().contains("openai, groq"),
        "{error}"
    );
}

#[test]
fn addresses_that_are_none_are_refused() {
    let error = |vendors: &Vendors| {
        vendors
            .llm(&llm("openai", None), &keys(&[("OPENAI", "k")]))
            .err()
            .unwrap()
            .kind
    };
    assert_eq!(
        error(&vendors(&[("openai", Some("api.openai.com"), None)])),
        ErrorKind::BadRequest
    );
    assert_eq!(
        error(&vendors(&[("openai", Some("ftp://x/v1"), None)])),
        ErrorKind::BadRequest
    );
}

#[tokio::test] // R107
async fn a_model_of_an_agents_address_is_asked_on_the_public_internet_only() {
    let vendors = vendors(&[("vllm", Some("http://10.0.0.7:8000/v1"), None)]);
    for private in ["http://169.254.169.254/latest", "http://[::1]:11434/v1"] {
        let refused = vendors.llm(&llm("custom", Some(private)), &keys(&[]));
        let refused = refused.err().unwrap();
        assert_eq!(refused.kind, ErrorKind::BadRequest);
        assert!(
            refused
                .cause
                .starts_with("base_url: the address is not public")
        );
    }
    // The server's own, whoever names it, and a name's addresses when it is connected to.
    let own = llm("vllm", Some("http://10.0.0.7:8000/v1"));
    vendors.llm(&own, &keys(&[])).unwrap();
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let named = llm("custom", Some(&format!("http://localhost:{port}/v1")));
    let named = vendors.llm(&named, &keys(&[])).unwrap();
    named.warm().await;
    let mut answer = named.answer(crate::testing::ask("m"));
    let refused = answer.next().await.unwrap().unwrap_err();
    assert_eq!(refused.kind, ErrorKind::BadRequest);
    assert!(refused.cause.contains("not public"), "{refused:?}");
    let nobody_came = futures_util::FutureExt::now_or_never(listener.accept());
    assert!(nobody_came.is_none());
}

#[test]
fn a_region_names_no_host() {
    let vendors = vendors(&[]);
    for (vendor, name) in [
        (SynthesizerVendor::Azure, "AZURE_SPEECH_REGION"),
        (SynthesizerVendor::Polly, "AWS_REGION"),
    ] {
        let agent = bolo_agent::Synthesizer {
            vendor,
            ..synthesizer()
        };
        let with = |region: &str| {
            let keys = keys(&[
                ("AZURE_SPEECH_KEY", "k"),
                ("AWS_ACCESS_KEY_ID", "i"),
                ("AWS_SECRET_ACCESS_KEY", "s"),
                (name, region),
            ]);
            vendors.synthesizer(&agent, &keys, None, Format::Mulaw8k)
        };
        assert!(with("eu-west-1").is_ok());
        let refused = with("evil.example/#").err().unwrap();
        assert_eq!(refused.cause, format!("{name} is no region's name"));
    }
}

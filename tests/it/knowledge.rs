//! Documents that an agent answers from.

use axum::{Router, routing::get};
use bolo_simulator::{caller::CallerScript, llm::Reply};
use rstest::rstest;
use serde_json::{Value, json};
use tokio_util::task::AbortOnDropHandle;

use crate::support::{DEADLINE, Database, Server, Setup, World, agent};

/// A PDF of one page with these lines, as small as one can be.
fn pdf(lines: &[&str]) -> Vec<u8> {
    let mut page = String::from("BT /F1 12 Tf 72 720 Td 16 TL\n");
    for line in lines {
        page.push_str(&format!("({line}) Tj T*\n"));
    }
    page.push_str("ET");
    let objects = [
        "<< /Type /Catalog /Pages 2 0 R >>".to_owned(),
        "<< /Type /Pages /Kids [3 0 R] /Count 1 >>".to_owned(),
        "<< /Type /Page /Parent 2 0 R /MediaBox [0 0 612 792] /Contents 4 0 R \
         /Resources << /Font << /F1 5 0 R >> >> >>"
            .to_owned(),
        format!("<< /Length {} >>\nstream\n{page}\nendstream", page.len()),
        "<< /Type /Font /Subtype /Type1 /BaseFont /Helvetica /Encoding /WinAnsiEncoding >>"
            .to_owned(),
    ];
    let mut bytes = b"%PDF-1.4\n".to_vec();
    let mut offsets = Vec::new();
    for (number, object) in (1..).zip(&objects) {
        offsets.push(bytes.len());
        bytes.extend(format!("{number} 0 obj\n{object}\nendobj\n").into_bytes());
    }
    let table = bytes.len();
    bytes.extend(format!("xref\n0 {}\n0000000000 65535 f \n", objects.len() + 1).into_bytes());
    for offset in offsets {
        bytes.extend(format!("{offset:010} 00000 n \n").into_bytes());
    }
    let size = objects.len() + 1;
    let end = format!("trailer\n<< /Size {size} /Root 1 0 R >>\nstartxref\n{table}\n%%EOF\n");
    bytes.extend(end.into_bytes());
    bytes
}

fn hours() -> Vec<u8> {
    pdf(&[
        "The Rose clinic is open from nine in the morning to six in the evening.",
        "On Saturday it is open from ten to two, and on Sunday it is closed.",
        "A visit costs forty dollars. Parking behind the house is free of charge.",
    ])
}

/// A form as a browser sends it.
#[derive(Default)]
struct Form(Vec<u8>);

impl Form {
    const BOUNDARY: &str = "------------------------knowledge";

    fn part(mut self, head: &str, content: &[u8]) -> Self {
        let head = format!(
            "--{}\r\nContent-Disposition: form-data; {head}\r\n\r\n",
            Self::BOUNDARY
        );
        self.0.extend(head.into_bytes());
        self.0.extend(content);
        self.0.extend(b"\r\n");
        self
    }

    fn text(self, name: &str, value: &str) -> Self {
        self.part(&format!("name=\"{name}\""), value.as_bytes())
    }
}

fn file(bytes: Vec<u8>) -> Form {
    Form::default().part("name=\"file\"; filename=\"hours.pdf\"", &bytes)
}

async fn upload(server: &Server, form: Form) -> (u16, Value) {
    let sent = reqwest::Client::new()
        .post(format!("{}/knowledgebase", server.base))
        .bearer_auth(&server.key)
        .header(
            "content-type",
            format!("multipart/form-data; boundary=\"{}\"", Form::BOUNDARY),
        )
        .body([form.0, format!("--{}--\r\n", Form::BOUNDARY).into_bytes()].concat())
        .send()
        .await
        .unwrap();
    (sent.status().as_u16(), sent.json().await.unwrap())
}

/// Waits until it is no longer processed.
async fn settled(server: &Server, id: &str) -> Value {
    let started = tokio::time::Instant::now();
    loop {
        let found = server.get(&format!("/knowledgebase/{id}")).await;
        if found["status"] != "processing" {
            return found;
        }
        assert!(started.elapsed() < DEADLINE, "{found:#}\n{}", server.log());
        tokio::time::sleep(std::time::Duration::from_millis(50)).await; // no-sleep-ok: polling a condition under a deadline
    }
}

#[rstest]
#[case::sqlite(Database::Sqlite)]
#[case::postgres(Database::Postgres)]
#[tokio::test]
async fn an_agent_answers_from_an_uploaded_pdf(#[case] database: Database) {
    let world = World::start(database).await;
    let server = &world.server;
    let small = file(hours())
        .text("chunk_size", "90")
        .text("overlapping", "10");
    let (status, created) = upload(server, small).await;
    assert_eq!(status, 200, "{created}");
    assert_eq!(
        (
            &created["status"],
            &created["source_type"],
            &created["file_name"]
        ),
        (&json!("processing"), &json!("pdf"), &json!("hours.pdf"))
    );
    let id = created["rag_id"].as_str().unwrap();
    let vector_id = created["vector_id"].as_str().unwrap();
    let found = settled(server, id).await;
    assert_eq!(found["status"], "processed", "{found:#}");
    assert!(found["chunks"].as_i64().unwrap() >= 3, "{found:#}");
    assert_eq!(
        (&found["chunk_size"], &found["similarity_top_k"]),
        (&json!(90), &json!(15))
    );
    assert_eq!(server.get("/knowledgebase/all").await[0]["rag_id"], id);

    let search = format!(
        "/knowledgebase/{vector_id}/search?q=When%20are%20you%20open%20on%20Saturday%3F&limit=1"
    );
    let hits = server.get(&search).await;
    let hit = hits["passages"][0]["text"].as_str().unwrap();
    assert!(
        hit.contains("Saturday") && hits["passages"].as_array().unwrap().len() == 1,
        "{hits:#}"
    );

    // The model is given the passages behind what was said, and the caller hears its answer.
    let mut knowing = agent();
    let llm = &mut knowing["agent_config"]["tasks"][0]["tools_config"]["llm_agent"];
    llm["agent_type"] = "knowledgebase_agent".into();
    llm["llm_config"]["vector_store"] = json!({"provider": "lancedb", "provider_config": {"vector_id": vector_id, "similarity_top_k": 2}});
    world.fakes.llm.on(
        "what does a visit cost",
        Reply::text("It is forty dollars."),
    );
    let (execution, call) = world.dial(&knowing, CallerScript::default()).await;
    call.hears("Hello there").await.unwrap();
    call.agent_stopped().await.unwrap();
    call.says("what does a visit cost").await.unwrap();
    call.hears("forty dollars").await.unwrap();
    call.hangs_up().await.unwrap();
    let record = server.status(&execution, "completed").await;
    assert!(
        !record.to_string().contains("Parking"),
        "passages are kept in the record"
    );
    let asked = world.fakes.llm.requests().pop().unwrap();
    let messages = asked["messages"].as_array().unwrap();
    let last = messages.last().unwrap();
    assert_eq!(last["role"], "system", "{asked:#}");
    let given = last["content"].as_str().unwrap();
    assert!(
        given.contains("costs forty dollars") && given.contains("hours.pdf"),
        "{given}"
    );
    let log = server.get(&format!("/executions/{execution}/log")).await;
    assert!(log.to_string().contains("costs forty dollars"), "{log:#}");

    let gone = server
        .send(
            "DELETE",
            &format!("/knowledgebase/{id}"),
            Some(&server.key),
            None,
        )
        .await;
    assert_eq!(
        (gone.status, gone.body),
        (200, json!({"message": "success", "state": "deleted"}))
    );
    let after = server.send("GET", &search, Some(&server.key), None).await;
    assert_eq!(after.status, 404, "{}", after.body);
    world.end(&[]).await;
}

#[tokio::test]
async fn a_page_is_fetched_and_what_cannot_be_read_says_why() {
    let pages = Router::new()
        .route(
            "/old",
            get(|| async { axum::response::Redirect::permanent("/hours") }),
        )
        .route(
            "/hours",
            get(|| async {
                axum::response::Html("<h1>Hours</h1><p>We open at nine.</p><script>no()</script>")
            }),
        )
        .route(
            "/image",
            get(|| async { ([("content-type", "image/png")], "no text") }),
        );
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let base = format!("http://{}", listener.local_addr().unwrap());
    let serving = async move { axum::serve(listener, pages).await.unwrap() };
    let _serving = AbortOnDropHandle::new(tokio::spawn(serving));
    let server = Server::start(Setup::new(Database::Sqlite, Vec::new()).await).await;

    let url = |path: &str| Form::default().text("url", &format!("{base}{path}"));
    let (status, created) = upload(&server, url("/old")).await;
    assert_eq!((status, &created["source_type"]), (200, &json!("url")));
    let id = created["rag_id"].as_str().unwrap();
    assert_eq!(
        settled(&server, id).await["status"],
        "processed",
        "{}",
        server.log()
    );
    let hits = server
        .get(&format!("/knowledgebase/{id}/search?q=opening%20hours"))
        .await;
    let text = hits["passages"][0]["text"].as_str().unwrap();
    assert!(
        text.contains("We open at nine.") && !text.contains("no()"),
        "{text}"
    );

    for (form, reason) in [
        (url("/image"), "image/png"),
        (url("/nothing"), "404"),
        (file(b"%PDF-1.4\nbroken".to_vec()), "PDF"),
        (file(pdf(&["- - -"])), "no text"),
    ] {
        let (status, created) = upload(&server, form).await;
        assert_eq!(status, 200, "{created}");
        let id = created["rag_id"].as_str().unwrap();
        let found = settled(&server, id).await;
        assert_eq!(found["status"], "error", "{found:#}");
        assert!(
            found["reason"].as_str().unwrap().contains(reason),
            "{found:#}"
        );
        let search = format!("/knowledgebase/{id}/search?q=x");
        let search = server.send("GET", &search, Some(&server.key), None).await;
        assert_eq!(search.status, 400, "{}", search.body);
    }
    server
        .stop_cleanly(&["a knowledgebase can't be made"])
        .await;
}

#[tokio::test]
async fn what_is_no_document_is_refused_with_its_field() {
    let private = vec![(
        "BOLO_SECURITY__ALLOW_PRIVATE_ADDRESSES".to_owned(),
        "false".to_owned(),
    )];
    let server = Server::start(Setup::new(Database::Sqlite, private).await).await;
    let good = || file(hours());
    for (form, named) in [
        (Form::default(), "file"),
        (good().text("url", "https://example.com"), "url"),
        (
            file(b"PK\x03\x04 a word document".to_vec()),
            "file: must be a PDF",
        ),
        (Form::default().text("url", "ftp://example.com/x"), "url"),
        (good().text("chunk_size", "many"), "chunk_size"),
        (good().text("chunk_size", "9"), "chunk_size"),
        (good().text("overlapping", "512"), "overlapping"),
        (good().text("similarity_top_k", "0"), "similarity_top_k"),
        (
            good().text("language_support", "multilingual"),
            "language_support",
        ),
    ] {
        let (status, told) = upload(&server, form).await;
        assert_eq!(status, 400, "{told}");
        assert!(
            told["message"].as_str().unwrap().contains(named),
            "{named}: {told}"
        );
    }
    let mut large = hours();
    large.resize((20 << 20) + 1, b' ');
    let (status, told) = upload(&server, file(large)).await;
    assert_eq!(status, 400, "{told}");
    assert!(
        told["message"].as_str().unwrap().contains("20 MB"),
        "{told}"
    );
    assert_eq!(server.get("/knowledgebase/all").await, json!([]));

    // An address inside the server's own network leads nowhere.
    let inside = Form::default().text("url", &format!("{}/health", server.base));
    let (status, created) = upload(&server, inside).await;
    assert_eq!(status, 200, "{created}");
    let found = settled(&server, created["rag_id"].as_str().unwrap()).await;
    assert!(
        found["reason"].as_str().unwrap().contains("not public"),
        "{found:#}"
    );
    for path in [
        "/knowledgebase/none",
        "/knowledgebase/3c90c3cc-0d44-4b50-8888-8dd25736052a",
    ] {
        let answer = server.send("GET", path, Some(&server.key), None).await;
        assert_eq!(answer.status, 404, "{path}");
    }
    server
        .stop_cleanly(&["a knowledgebase can't be made"])
        .await;
}

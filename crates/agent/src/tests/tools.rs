//! Tools: every way to write them, and what is wrong with them.

use insta::{assert_debug_snapshot, assert_snapshot};
use serde_json::{Value, json};

use super::{faults, minimal_with, tools};
use crate::{Agent, SUMMARY, Tool, ToolAction};

fn with(api_tools: Value) -> Value {
    minimal_with(&[(&tools("api_tools"), api_tools)])
}

fn read(api_tools: Value) -> Vec<Tool> {
    Agent::parse(&with(api_tools)).unwrap().conversation.tools
}

fn look_up() -> Value {
    json!({
        "name": "look_up", "description": "Finds an order.",
        "parameters": {"type": "object", "properties": {"id": {"type": "string"}}, "required": ["id"]},
    })
}

#[test]
fn a_tool_with_all_its_parts() {
    let params = json!({
        "url": "https://shop.example/orders/%(id)s", "method": "get", "api_token": "Bearer k",
        "headers": {"X-Shop": "7"}, "param": "{\"lang\": %(lang)s}",
        "pre_call_message": {"en": "One moment."}, "timeout_s": 2.5, "speak_result": false,
        "pre_call_webhook_url": "https://hook.example/", "pre_call_webhook_param": {"id": "%(id)s"},
    });
    let api_tools = json!({"tools": [look_up()], "tools_params": {"look_up": params}});
    assert_debug_snapshot!(read(api_tools)[0], @r#"
    Tool {
        name: "look_up",
        description: "Finds an order.",
        parameters: {
            "type": String("object"),
            "properties": Object {
                "id": Object {
                    "type": String("string"),
                },
            },
            "required": Array [
                String("id"),
            ],
        },
        pre_call_message: Some(
            ByLanguage(
                {
                    "en": "One moment.",
                },
            ),
        ),
        webhook: Some(
            ToolWebhook {
                url: Url {
                    scheme: "https",
                    cannot_be_a_base: false,
                    username: "",
                    password: None,
                    host: Some(
                        Domain(
                            "hook.example",
                        ),
                    ),
                    port: None,
                    path: "/",
                    query: None,
                    fragment: None,
                },
                param: Some(
                    JsonTemplate(
                        "{\"id\":\"%(id)s\"}",
                    ),
                ),
            },
        ),
        speak_result: false,
        timeout_ms: 2500,
        action: Request(
            Request {
                method: Get,
                url: UrlTemplate(
                    "https://shop.example/orders/%(id)s",
                ),
                param: Some(
                    JsonTemplate(
                        "{\"lang\": %(lang)s}",
                    ),
                ),
                headers: {
                    "X-Shop": Secret(…),
                },
                api_token: Some(
                    Secret(…),
                ),
                answers: Anything,
            },
        ),
    }
    "#);
}

#[test]
fn every_way_to_write_a_tool_means_the_same() {
    let params = json!({"url": "https://shop.example/", "param": {"id": "%(id)s"}});
    let flat = read(json!({"tools": [look_up()], "tools_params": {"look_up": params}}));
    let mut inline = look_up();
    inline["value"] = params.clone();
    let mut function = look_up();
    function["strict"] = true.into();
    let nested = json!([{"type": "function", "key": "custom_task", "function": function}]);
    for same in [
        json!({"tools": [inline]}),
        json!({"tools": nested, "tools_params": {"look_up": params}}),
        json!({"tools": nested.to_string(), "tools_params": {"look_up": params}}),
    ] {
        assert_eq!(read(same.clone()), flat, "{same}");
    }
    for none in [
        json!(null),
        json!({}),
        json!({"tools": ""}),
        json!({"tools": "[]"}),
        json!({"tools": null}),
    ] {
        assert_eq!(read(none), []);
    }
}

#[test] // R118
fn bookings_have_an_address_of_their_own() {
    let tool = |key: &str, params: Value| {
        let mut tool = read(json!({
            "tools": [{"name": "t", "key": key, "description": "d"}], "tools_params": {"t": params},
        }));
        match tool.remove(0).action {
            ToolAction::Request(request) => request,
            other => panic!("{other:?}"),
        }
    };
    let param = json!({"eventTypeId": 12, "timeZone": "Asia/Kolkata"});
    for key in ["check_availability_of_slots", "calendar_slot_availability"] {
        let request = tool(key, json!({"param": param}));
        assert_eq!(request.method, crate::Method::Get);
        assert!(format!("{:?}", request.url).contains("cal.com/v2/slots"));
        assert!(format!("{:?}", request.param).contains("Asia/Kolkata"));
    }
    let request = tool("book_appointment", json!({"param": param.to_string()}));
    assert!(format!("{:?}", request.url).contains("cal.com/v2/bookings"));
    let own = tool("calendar_book", json!({"url": "https://own.example/"}));
    assert!(own.param.is_none() && own.method == crate::Method::Post);
}

#[test]
fn a_transfer_names_a_number_or_a_controller() {
    let tool = |params: Value| {
        with(json!({
            "tools": [{"name": "sales", "key": "transfer_call", "description": "d",
                       "parameters": {"type": "object", "properties": {"call_sid": {"type": "string"}}}}],
            "tools_params": {"sales": params},
        }))
    };
    for params in [
        json!({"url": null, "method": "POST", "param": {"call_sid": "%(call_sid)s", "call_transfer_number": "+14155550100"}}),
        json!({"param": "{\"call_transfer_number\": \"%(branch)s\"}", "mode": "cold"}),
        json!({"url": "https://control.example/", "param": {"any": "thing"}}),
    ] {
        assert_eq!(faults(&tool(params.clone())), "none", "{params}");
    }
    assert_snapshot!(faults(&tool(json!({"param": {"call_transfer_number": "911"}}))), @"tasks[0].tools_config.api_tools.tools_params.sales.param.call_transfer_number: must be a phone number in E.164 form, such as +14155550100");
    assert_snapshot!(faults(&tool(json!({}))), @"tasks[0].tools_config.api_tools.tools_params.sales.param: is required");
}

#[test] // R115
fn a_warm_transfer_asks_for_a_summary_and_for_a_carrier_that_can() {
    let warm = |params: Value| {
        with(json!({
            "tools": [{"name": "sales", "key": "transfer_call", "description": "d"}],
            "tools_params": {"sales": params},
        }))
    };
    let number = json!({"call_transfer_number": "+14155550100"});
    let mut body = warm(json!({"mode": "warm", "param": number}));
    let read = Agent::parse(&body).unwrap();
    let tool = &read.conversation.tools[0];
    assert!(tool.is_warm_transfer());
    assert_eq!(tool.parameters["properties"][SUMMARY]["type"], "string");
    assert_eq!(tool.parameters["required"], json!([]));
    for (carrier, told) in [
        ("twilio", "none"),
        ("plivo", "none"),
        (
            "vobiz",
            r#"tasks: a warm transfer by carrier "vobiz" is not supported by this version yet"#,
        ),
        (
            "exotel",
            r#"tasks: a warm transfer by carrier "exotel" is not supported by this version yet"#,
        ),
        (
            "sip-trunk",
            r#"tasks: a warm transfer by carrier "sip-trunk" is not supported by this version yet"#,
        ),
    ] {
        super::set(
            &mut body,
            "/agent_config/telephony_provider",
            json!(carrier),
        );
        assert_eq!(faults(&body), told, "{carrier}");
    }
    assert_snapshot!(faults(&warm(json!({"mode": "warm", "url": "https://control.example/", "param": {"any": "thing"}}))), @r#"tasks[0].tools_config.api_tools.tools_params.sales.mode: "warm" is the carrier's to do, not a controller's at url"#);
    assert_snapshot!(faults(&warm(json!({"mode": "hot", "param": number}))), @r#"tasks[0].tools_config.api_tools.tools_params.sales.mode: unknown mode "hot"; one of cold, warm"#);
}

#[test]
fn not_every_vendor_calls_tools() {
    let mut body = with(json!({
        "tools": [look_up()], "tools_params": {"look_up": {"url": "https://shop.example/"}},
    }));
    super::set(
        &mut body,
        &tools("llm_agent/llm_config/provider"),
        json!("perplexity"),
    );
    assert_snapshot!(faults(&body), @"tasks[0].tools_config.api_tools.tools: the models of perplexity call no tools");
}

#[test]
fn what_is_wrong_with_tools_is_told_by_path() {
    assert_snapshot!(faults(&with(json!({"tools": "[{", "tools_params": 7}))), @r"
    tasks[0].tools_config.api_tools.tools_params: must be an object, not a number
    tasks[0].tools_config.api_tools.tools: must be a list, or JSON text of one: EOF while parsing an object at line 1 column 2
    ");
    let tool = |name: &str| json!({"name": name, "description": "d", "parameters": {}});
    let body = with(json!({
        "tools": [
            tool("a b"), tool("end_call"), tool("twice"), tool("twice"), tool("lost"), 5,
            {"name": "bad", "key": "dance", "description": "", "parameters": {"type": "array", "properties": []}},
            {"type": "tool", "function": {"name": "nested", "description": "d"}},
            {"name": "slots", "key": "check_availability_of_slots", "description": "d"},
        ],
        "tools_params": {
            "twice": {"url": "https://x.example/"},
            "bad": {
                "url": "ftp://x", "method": "BREW", "param": "{\"a\": }", "headers": {"a b": "c", "d": "e\nf", "Host": "g"},
                "timeout_s": 60, "pre_call_webhook_url": "nowhere",
            },
            "nested": {"param": [1]},
            "slots": {"param": {"timeZone": "UTC"}},
        },
    }));
    assert_snapshot!(faults(&body), @r#"
    tasks[0].tools_config.api_tools.tools[0].name: must be at most 64 letters, digits, _ or -
    tasks[0].tools_config.api_tools.tools[1].name: "end_call" is a tool of the server's own
    tasks[0].tools_config.api_tools.tools[3]: another tool is called "twice"
    tasks[0].tools_config.api_tools.tools_params.lost: is required: where the tool's request goes
    tasks[0].tools_config.api_tools.tools[5]: must be an object, not a number
    tasks[0].tools_config.api_tools.tools[6].key: unknown value "dance"; one of custom_task, transfer_call, book_appointment, check_availability_of_slots, calendar_slot_availability, calendar_book
    tasks[0].tools_config.api_tools.tools[6].description: must not be empty
    tasks[0].tools_config.api_tools.tools[6].parameters.type: unknown value "array"; one of object
    tasks[0].tools_config.api_tools.tools[6].parameters.properties: must be an object, not a list
    tasks[0].tools_config.api_tools.tools_params.bad.pre_call_webhook_url: must be an address that begins with https:// or http://
    tasks[0].tools_config.api_tools.tools_params.bad.timeout_s: must be between 1 and 30, not 60
    tasks[0].tools_config.api_tools.tools_params.bad.method: unknown method "BREW"; one of GET, POST, PUT, PATCH, DELETE
    tasks[0].tools_config.api_tools.tools_params.bad.headers.a b: is no name of a header
    tasks[0].tools_config.api_tools.tools_params.bad.headers.d: must not hold control characters
    tasks[0].tools_config.api_tools.tools_params.bad.headers.Host: is set by the server
    tasks[0].tools_config.api_tools.tools_params.bad.url: must be an address that begins with https:// or http://
    tasks[0].tools_config.api_tools.tools[7].type: unknown value "tool"; one of function
    tasks[0].tools_config.api_tools.tools[7].function.parameters: is required
    tasks[0].tools_config.api_tools.tools_params.nested.url: is required
    tasks[0].tools_config.api_tools.tools_params.slots.param.eventTypeId: is required
    "#);
}

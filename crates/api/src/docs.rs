//! The OpenAPI document, gathered from the handlers, and the page that browses it.

use utoipa::{
    Modify, OpenApi,
    openapi::{
        PathItem, RefOr, Required,
        extensions::Extensions,
        path::{Operation, Parameter, ParameterIn},
        security::{Http, HttpAuthScheme, SecurityScheme},
    },
};
use utoipa_swagger_ui::SwaggerUi;

/// Other spellings of documented paths (api.md §1), each with the path whose operations it has; one that
/// begins with a method has only that operation.
const ALIASES: &[(&str, &str)] = &[
    ("/agent", "/v2/agent"),
    ("/agent/all", "/v2/agent/all"),
    ("/agent/{agent_id}", "/v2/agent/{agent_id}"),
    ("/agent/{agent_id}/stop", "/v2/agent/{agent_id}/stop"),
    (
        "/agent/{agent_id}/execution/{execution_id}",
        "/v2/agent/{agent_id}/execution/{execution_id}",
    ),
    ("/call/stop/{execution_id}", "/call/{execution_id}/stop"),
    ("/call/{execution_id}", "/executions/{execution_id}"),
    ("/call/{execution_id}/status", "/executions/{execution_id}"),
    (
        "/batch/{batch_id}/executions",
        "/batches/{batch_id}/executions",
    ),
    ("/provider/{provider_id}", "/providers/{provider_id}"),
    ("/provider", "/providers"),
    ("/user/model/custom", "/user/custom-model"),
    ("/call/{run_id}/events", "/v1/call/{run_id}/events"),
    ("/web-call/freeswitch-session", "/web-call/session"),
    ("post /sub-accounts/create", "/sub-accounts"),
    ("get /sub-accounts/all", "/sub-accounts"),
];

/// The document's frame; its paths come from the handlers.
#[derive(OpenApi)]
#[openapi(
    info(
        title = "Bolo",
        description = "Voice agents that hold phone calls. Every operation takes `Authorization: Bearer <key>`, \
            but for health, figures and the carriers' own callbacks. Errors are always \
            `{\"error\": 404, \"message\": \"…\", \"detail\": \"…\"}`."
    ),
    security(("bearer" = [])),
    modifiers(&Bearer),
    tags(
        (name = "Agents", description = "What talks"),
        (name = "Calls", description = "Placing and stopping calls"),
        (name = "Executions", description = "Calls as records"),
        (name = "Batches", description = "Calls that are uploaded together"),
        (name = "Recordings", description = "Calls as sound"),
        (name = "Providers", description = "Keys of vendors and carriers"),
        (name = "User", description = "The account"),
        (name = "Sub-accounts", description = "Tenants below the account"),
        (name = "Webhooks", description = "What was told to your addresses"),
        (name = "Extractions", description = "Templates of what to extract from transcripts"),
        (name = "Dispositions", description = "Questions about each call"),
        (name = "Phone numbers", description = "Numbers to call from and to be called at"),
        (name = "Inbound", description = "Which agent answers a number"),
        (name = "Voices", description = "What agents can sound like"),
        (name = "Violations", description = "Calls that broke a rule"),
        (name = "Web calls", description = "Calls from a browser"),
        (name = "SIP trunks", description = "Telephone systems of the account's own"),
        (name = "System", description = "For operators"),
    )
)]
pub struct Frame;

struct Bearer;

impl Modify for Bearer {
    fn modify(&self, openapi: &mut utoipa::openapi::OpenApi) {
        let scheme = SecurityScheme::Http(Http::new(HttpAuthScheme::Bearer));
        openapi
            .components
            .get_or_insert_default()
            .add_security_scheme("bearer", scheme);
    }
}

/// Says what holds everywhere, and adds the other spellings, so that a client generated from the document may
/// use either.
pub fn finished(mut document: utoipa::openapi::OpenApi) -> utoipa::openapi::OpenApi {
    for item in document.paths.paths.values_mut() {
        for (_, operation) in operations(item) {
            let parameters = operation.iter_mut().flat_map(|one| &mut one.parameters);
            for parameter in parameters.flatten() {
                if let RefOr::T(parameter) = parameter {
                    tell_of_empty(parameter);
                }
            }
        }
    }
    with_aliases(document)
}

/// A parameter without a value counts as absent (`extract::Params`).
fn tell_of_empty(parameter: &mut Parameter) {
    let is_optional = !matches!(parameter.required, Required::True);
    if is_optional && matches!(parameter.parameter_in, ParameterIn::Query) {
        let told = Extensions::from_iter([("allowEmptyValue", true)]);
        parameter.extensions.get_or_insert_default().merge(told);
    }
}

fn with_aliases(mut document: utoipa::openapi::OpenApi) -> utoipa::openapi::OpenApi {
    for &(alias, original) in ALIASES {
        let Some(mut item) = document.paths.paths.get(original).cloned() else {
            continue;
        };
        let (method, path) = alias
            .split_once(' ')
            .map_or((None, alias), |(method, path)| (Some(method), path));
        for (name, operation) in operations(&mut item) {
            if method.is_some_and(|method| method != name) {
                *operation = None;
            }
            if let Some(operation) = operation {
                operation.operation_id = None; // must be unique
                operation.description = Some(format!("The same as `{original}`."));
            }
        }
        document.paths.paths.insert(path.to_owned(), item);
    }
    document
}

fn operations(item: &mut PathItem) -> [(&'static str, &mut Option<Operation>); 6] {
    [
        ("get", &mut item.get),
        ("put", &mut item.put),
        ("post", &mut item.post),
        ("delete", &mut item.delete),
        ("patch", &mut item.patch),
        ("head", &mut item.head),
    ]
}

/// `/docs` and `/openapi.json`. The page's files lie in the binary.
pub fn routes(document: utoipa::openapi::OpenApi) -> axum::Router {
    SwaggerUi::new("/docs")
        .url("/openapi.json", document)
        .into()
}

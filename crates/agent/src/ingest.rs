//! Where callers are looked up before an agent answers them. Source: agent-config.md `ingest_source_config`.

use url::Url;

use crate::place::Place;

/// Where callers are looked up.
#[derive(Debug, Clone, PartialEq)]
pub enum IngestSource {
    /// A server of the customer's, asked with a bearer token.
    Api {
        /// Asked with `contact_number`, `agent_id`, `execution_id` in its query.
        url: Url,
        /// The token.
        token: String,
    },
    /// A list that was uploaded under this name.
    List(String),
    /// A public sheet, read as CSV on each call.
    Sheet(Url),
}

impl IngestSource {
    pub(crate) fn read(place: &Place<'_>) -> Option<Self> {
        if !place.is_filled() {
            return None;
        }
        place.object()?;
        let kind = place.at("source_type").required()?;
        let kind = kind.word(&["api", "csv", "google_sheet"])?;
        let name = place.at("source_name");
        if kind == "csv" {
            return Some(Self::List(name.required_text()?.to_owned()));
        }
        let url = place.at("source_url").required()?.url();
        if kind == "google_sheet" {
            return Some(Self::Sheet(sheet(url?, name.required_text()?)));
        }
        let token = place.at("source_auth_token").required_text();
        Some(Self::Api {
            url: url?,
            token: token?.to_owned(),
        })
    }
}

/// Where a sheet is to be had as CSV. Google's is asked by its name; any other address is taken as it is.
fn sheet(url: Url, name: &str) -> Url {
    let id = match (url.host_str(), url.path_segments()) {
        (Some("docs.google.com"), Some(parts)) => parts
            .skip_while(|part| *part != "d")
            .nth(1)
            .map(str::to_owned),
        _ => None,
    };
    let Some(id) = id else { return url };
    let mut csv = url;
    csv.set_path(&format!("/spreadsheets/d/{id}/gviz/tq"));
    csv.set_fragment(None);
    csv.query_pairs_mut()
        .clear()
        .append_pair("tqx", "out:csv")
        .append_pair("sheet", name);
    csv
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use serde_json::json;

    use super::*;
    use crate::place::read_whole;

    #[test]
    fn each_kind_says_what_it_needs() {
        for (document, path) in [
            (json!({"source_type": "ftp"}), "source_type"),
            (json!({"source_name": "x"}), "source_type"),
            (json!({"source_type": "csv"}), "source_name"),
            (
                json!({"source_type": "api", "source_url": "https://crm.example/leads"}),
                "source_auth_token",
            ),
            (
                json!({"source_type": "api", "source_auth_token": "t"}),
                "source_url",
            ),
            (
                json!({"source_type": "google_sheet", "source_url": "https://x.example"}),
                "source_name",
            ),
        ] {
            let faults = read_whole(&document, |place| Some(IngestSource::read(place)))
                .err()
                .unwrap();
            assert_eq!(faults.0[0].path, path, "{document}");
        }
        assert!(
            read_whole(&json!({}), |place| Some(IngestSource::read(place)))
                .unwrap()
                .is_none()
        );
    }

    #[test]
    fn a_google_sheet_is_asked_for_csv() {
        let document = json!({"source_type": "google_sheet", "source_name": "June leads",
            "source_url": "https://docs.google.com/spreadsheets/d/1AbC/edit#gid=0"});
        let read = read_whole(&document, |place| Some(IngestSource::read(place))).unwrap();
        let Some(IngestSource::Sheet(url)) = read else {
            unreachable!()
        };
        assert_eq!(
            url.as_str(),
            "https://docs.google.com/spreadsheets/d/1AbC/gviz/tq?tqx=out%3Acsv&sheet=June+leads"
        );
    }
}

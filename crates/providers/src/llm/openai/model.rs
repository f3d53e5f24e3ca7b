//! Families of models whose parameters differ, told by the model's name. Source: wire-providers.md §3.1;
//! OpenAI's API reference; what its refusals say.

use bolo_agent::LlmConfig;

use super::super::dialect::Api;

/// See the module.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Model {
    /// `gpt-5.<minor>`; plain `gpt-5` is 0.
    Gpt5 {
        minor: u32,
        is_pro: bool,
    },
    /// Thinks as much as it likes, and takes no effort: `gpt-5.2-chat`, `o1-mini`.
    OwnEffort,
    /// `o3`, `o4-mini`, …
    OSeries,
    /// OpenAI's open models, at any vendor.
    GptOss,
    /// Another that always thinks.
    Thinker,
    Other,
}

/// Parts of names of other vendors' models that always think.
const THINKERS: [&str; 9] = [
    "deepseek-r1",
    "deepseek-reasoner",
    "gemini-2.5-pro",
    "gemini-3",
    "magistral",
    "qwq",
    "reasoning",
    "sonar-deep",
    "thinking",
];

impl Model {
    /// What the agent says it is, or what its name is. A deployment's name is the user's own: the family may
    /// stand anywhere in it.
    pub(super) fn of(config: &LlmConfig, api: Api) -> Self {
        match (&config.family, api) {
            (Some(family), _) => Self::within(family),
            (None, Api::Deployments) => Self::within(&config.model),
            (None, _) => Self::named(&config.model),
        }
    }

    /// `prod-gpt5-mini`, `team.o4-mini`.
    fn within(name: &str) -> Self {
        let name = name.to_ascii_lowercase();
        let gpt_5 = ["gpt-5", "gpt5", "gpt_5"];
        let gpt_5 = gpt_5.iter().find_map(|family| name.split_once(family));
        // Not the third generation, which Azure writes `gpt-35`, nor a fiftieth.
        if let Some((_, rest)) = gpt_5.filter(|(_, rest)| !rest.starts_with(char::is_numeric)) {
            return Self::gpt_5(rest);
        }
        let starts = name.char_indices().filter_map(|(at, _)| {
            let starts = !name[..at].ends_with(char::is_alphanumeric);
            starts.then(|| Self::named(&name[at..]))
        });
        let mut known = starts.filter(|model| *model != Self::Other);
        known.next().unwrap_or(Self::Other)
    }

    /// A path before the name (`openai/gpt-5`) does not count.
    fn named(name: &str) -> Self {
        let name = name.rsplit('/').next().unwrap_or_default();
        if let Some(rest) = name.strip_prefix("gpt-5") {
            return Self::gpt_5(rest);
        }
        let mut characters = name.chars();
        match (characters.next(), characters.next(), characters.next()) {
            _ if ["o1-mini", "o1-preview"]
                .iter()
                .any(|old| name.starts_with(old)) =>
            {
                Self::OwnEffort
            }
            (Some('o'), Some('1'..='9'), None | Some('-')) => Self::OSeries,
            _ if name.starts_with("gpt-oss") => Self::GptOss,
            _ if is_thinker(name) => Self::Thinker,
            _ => Self::Other,
        }
    }

    /// By what follows `gpt-5`.
    fn gpt_5(rest: &str) -> Self {
        let minor = rest
            .strip_prefix('.')
            .map(|rest| rest.split('-').next().unwrap_or_default());
        let minor = minor.and_then(|minor| minor.parse().ok()).unwrap_or(0);
        match (minor, rest.contains("-chat")) {
            // `gpt-5-chat` is no reasoning model, its successors are.
            (0, true) => Self::Other,
            (_, true) => Self::OwnEffort,
            (_, false) => Self::Gpt5 {
                minor,
                is_pro: rest.contains("-pro"),
            },
        }
    }

    /// The effort that is asked for: what the agent wishes, else the least, for a caller waits.
    pub(super) fn effort(self, wished: Option<&str>, has_tools: bool) -> Option<&str> {
        match self {
            // With tools chat completions take no effort from 5.4 on, and from 5.6 on want to be told so.
            Self::Gpt5 { minor: 6.., .. } if has_tools => Some("none"),
            Self::Gpt5 { minor: 4.., .. } if has_tools => None,
            Self::Gpt5 { minor, is_pro } => Some(match (minor, wished) {
                (0, None) if is_pro => "high",
                (0, None | Some("none")) => "minimal",
                (1.., None | Some("minimal")) => "none",
                (_, Some(wished)) => wished,
            }),
            Self::OwnEffort => None,
            Self::OSeries | Self::GptOss => Some(match wished {
                None | Some("none" | "minimal") => "low",
                Some("xhigh") => "high",
                Some(wished) => wished,
            }),
            Self::Thinker | Self::Other => wished,
        }
    }

    /// How much it thinks where it is asked for no effort.
    pub(super) fn own_effort(self) -> Option<&'static str> {
        (self != Self::Other).then_some("medium")
    }
}

fn is_thinker(name: &str) -> bool {
    let name = name.to_ascii_lowercase();
    let is_one = THINKERS.iter().any(|part| name.contains(part));
    is_one && !name.contains("non-reasoning")
}

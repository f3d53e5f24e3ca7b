//! How a carrier's requests are signed: as most of them are, and as some are too.

use serde::{Deserialize, Serialize};

/// How webhooks and upgrades of media sockets are signed.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Signing {
    /// As most are.
    #[default]
    Usual,
    /// With a token that is not the account's.
    Wrong,
    /// The address has the port that its scheme implies (`:443`), and has none where it names another. Twilio.
    OtherPort,
    /// A socket's address stands as a page's, or as a socket's where the carrier mostly signs a page's.
    OtherScheme,
    /// A socket's address has more at its path's end: a slash at Twilio, `/websocket` at Plivo.
    LongerPath,
    /// The token is being changed: one signature with the former, one with the present. Plivo, Vobiz.
    Rotated,
    /// A sub-account's token, and the main account's in a header of its own. Plivo, Vobiz.
    MainAccount,
}

/// What a request is signed with.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Signer<'a> {
    /// The account's.
    pub token: &'a str,
    pub signing: Signing,
    /// Where the carrier adds a number that is used once.
    pub nonce: u64,
}

impl<'a> Signer<'a> {
    /// Tokens of the account that the number belongs to, the present one last.
    pub fn tokens(&self) -> Vec<&'a str> {
        match self.signing {
            Signing::Wrong => vec!["not the token"],
            Signing::Rotated => vec!["the former token", self.token],
            Signing::MainAccount => vec!["a sub-account's token"],
            _ => vec![self.token],
        }
    }

    /// The present one of these.
    pub fn present(&self) -> &'a str {
        self.tokens().pop().unwrap_or_default()
    }

    /// The main account's.
    pub fn main(&self) -> &'a str {
        match self.signing {
            Signing::MainAccount => self.token,
            // Where that is the same account.
            _ => self.tokens()[0],
        }
    }

    /// A page's address as it is signed.
    pub fn page(&self, url: &str) -> String {
        match self.signing {
            Signing::OtherPort => other_port(url),
            _ => url.to_owned(),
        }
    }

    /// A socket's address as it is signed where that is usually done as it stands.
    pub fn socket(&self, url: &str) -> String {
        match self.signing {
            Signing::OtherScheme => url.replacen("ws", "http", 1),
            Signing::LongerPath => format!("{url}/"),
            _ => self.page(url),
        }
    }
}

fn other_port(url: &str) -> String {
    let (scheme, rest) = url.split_once("://").unwrap_or(("", url));
    let (authority, path) = rest.split_at(rest.find(['/', '?']).unwrap_or(rest.len()));
    let authority = match authority.rsplit_once(':') {
        Some((host, _)) => host.to_owned(),
        None if scheme.ends_with('s') => format!("{authority}:443"),
        None => format!("{authority}:80"),
    };
    format!("{scheme}://{authority}{path}")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn signer(signing: Signing) -> Signer<'static> {
        Signer {
            token: "t",
            signing,
            nonce: 0,
        }
    }

    #[test]
    fn addresses_are_spelt_in_other_ways() {
        let port = signer(Signing::OtherPort);
        for (url, other) in [
            ("https://h.example/a?b=c:d", "https://h.example:443/a?b=c:d"),
            ("wss://h.example", "wss://h.example:443"),
            ("http://127.0.0.1:8080/a", "http://127.0.0.1/a"),
        ] {
            assert_eq!(
                (port.page(url), port.socket(url)),
                (other.into(), other.into())
            );
        }
        let url = "wss://h.example/ws";
        assert_eq!(
            signer(Signing::OtherScheme).socket(url),
            "https://h.example/ws"
        );
        assert_eq!(
            signer(Signing::LongerPath).socket(url),
            "wss://h.example/ws/"
        );
        assert_eq!(signer(Signing::OtherScheme).page(url), url);
    }

    #[test]
    fn a_token_is_changed_or_another_accounts() {
        let rotated = signer(Signing::Rotated);
        assert_eq!((rotated.present(), rotated.tokens().len()), ("t", 2));
        assert_ne!(rotated.main(), "t");
        let of_main = signer(Signing::MainAccount);
        assert!(of_main.present() != "t" && of_main.main() == "t");
        let wrong = signer(Signing::Wrong);
        assert!(wrong.present() != "t" && wrong.main() != "t");
    }
}

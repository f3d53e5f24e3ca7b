//! Lets somebody hear a voice without a call. Source: api.md §1 row 54.

use std::{sync::Arc, time::Duration};

use bolo_agent::Synthesizer;
use bolo_audio::{Format, wav_file};
use bolo_execution::AccountId;
use bolo_providers::{ErrorKind, Keys};
use bytes::Bytes;
use futures_util::FutureExt;

use crate::{AskError, Calls, ahead::Renderer};

/// Good enough to judge a voice by.
const FORMAT: Format = Format::Pcm16 { rate: 24_000 };
/// The whole line must be there by then.
const LIMIT: Duration = Duration::from_secs(20);

impl Calls {
    /// A text spoken with a voice: a WAV file.
    pub async fn preview(
        &self,
        account: AccountId,
        voice: &Synthesizer,
        text: String,
    ) -> Result<Bytes, AskError> {
        let keys = Keys(self.inner.store.secrets(account).await?);
        let vendor = self.inner.vendors.synthesizer(voice, &keys, None, FORMAT);
        let (vendor, spec) = vendor.map_err(AskError::NoModel)?;
        let open = Arc::new(move || {
            let (vendor, spec) = (vendor.clone(), spec.clone());
            async move { vendor.open(&spec).await }.boxed()
        });
        let mut renderer = Renderer::new(open as _);
        match tokio::time::timeout(LIMIT, renderer.line(text)).await {
            Ok(Ok(audio)) => Ok(wav_file(&audio, FORMAT.rate())),
            Ok(Err(error)) if is_final(error.kind) => Err(AskError::NoModel(error)),
            Ok(Err(error)) => Err(AskError::Unavailable(error.to_string())),
            Err(_) => Err(AskError::Unavailable("the voice takes too long".to_owned())),
        }
    }
}

/// The same request would fail again.
fn is_final(kind: ErrorKind) -> bool {
    use ErrorKind as E;
    matches!(
        kind,
        E::Auth | E::Quota | E::BadRequest | E::NotFound | E::Content
    )
}

//! Carriers: REST control, answer documents, webhooks, signatures and the media wire, one module a
//! carrier, behind the trait [`Carrier`]. Source: wire-telephony.md.
//!
//! **Invariant:** a carrier module translates; it holds no socket, no state of a call and no clock.
//! Wire names of a carrier stop here.

pub mod asterisk;
mod browser;
mod callbacks;
mod carrier;
mod carriers;
pub mod exotel;
mod http;
mod json;
mod media;
mod numbers;
mod pieces;
mod plain;
pub mod plivo;
mod request;
mod said;
#[cfg(test)]
mod testing;
pub mod twilio;
mod xml;

pub use browser::Browser;
pub use callbacks::{CallReference, CallbackKind, Callbacks};
pub use carrier::{
    AnsweredBy, CallState, Carrier, Credentials, Dial, Dialled, Error, Instruction, LostDial,
    NotPlaced, OfferUrl, StatusEvent, Trunk, Webhook,
};
pub use carriers::{CarrierAccount, CarrierSettings, Carriers};
pub use media::{Frame, MediaCommand, MediaError, MediaEvent, MediaWire};
pub use numbers::{AvailableNumber, InboundUrls, NumberSearch, Numbers, NumbersError, OwnedNumber};
pub use request::RequestParts;
pub use said::{Line, Voice};

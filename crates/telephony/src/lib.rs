//! Carriers: REST control, answer documents, webhooks, signatures and the media wire, one module a
//! carrier, behind the trait [`Carrier`]. Source: wire-telephony.md.
//!
//! **Invariant:** a carrier module translates; it holds no socket, no state of a call and no clock.
//! Wire names of a carrier stop here.

mod carrier;
mod carriers;
mod media;
pub mod twilio;

pub use carrier::{
    CallState, Carrier, Credentials, Dial, Dialled, Error, Instruction, NotPlaced, RequestParts,
    StatusEvent, Webhook,
};
pub use carriers::{CallbackKind, Callbacks, CarrierAccount, CarrierSettings, Carriers};
pub use media::{MediaCommand, MediaError, MediaEvent, MediaWire};

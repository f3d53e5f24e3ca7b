//! Twilio. Source: wire-telephony.md §1.

//! Shapes of SIP trunks for the OpenAPI document: they come and go as the JSON that they are.

#![allow(dead_code, reason = "read by the derives only")]

use serde_json::json;
use utoipa::{
    PartialSchema, ToSchema,
    openapi::{
        RefOr,
        schema::{ObjectBuilder, Schema, SchemaType, Type},
    },
};
use uuid::Uuid;

use crate::sip_trunks::{NewNumber, TrunkNumber};

/// A trunk to be: absent fields have their defaults.
pub struct NewTrunk;

impl PartialSchema for NewTrunk {
    fn schema() -> RefOr<Schema> {
        let mut schema = TrunkBody::schema();
        if let RefOr::T(Schema::Object(trunk)) = &mut schema {
            let required = ["name", "provider", "auth_type", "gateways"];
            trunk.required = required.map(str::to_owned).to_vec();
        }
        schema
    }
}

impl ToSchema for NewTrunk {
    fn schemas(schemas: &mut Vec<(String, RefOr<Schema>)>) {
        TrunkBody::schemas(schemas);
    }
}

/// What a trunk is, or what to change of it: absent fields have their defaults, or stay as they are.
#[derive(ToSchema)]
pub struct TrunkBody {
    /// Unique in the account.
    #[schema(value_type = String, required = false, example = "Zadarma Production", pattern = r"\S")]
    name: Option<String>,
    #[schema(value_type = String, required = false, example = "zadarma", pattern = r"\S")]
    provider: Option<String>,
    description: Option<String>,
    #[schema(value_type = AuthType, required = false)]
    auth_type: Option<AuthType>,
    /// Needed with `userpass`.
    auth_username: Option<String>,
    /// Needed with `userpass`. Kept encrypted, never shown.
    auth_password: Option<String>,
    #[schema(value_type = Vec<Gateway>, required = false, min_items = 1)]
    gateways: Option<Vec<Gateway>>,
    /// Needed with `ip-based`.
    ip_identifiers: Option<Vec<IpIdentifier>>,
    #[schema(default = "ulaw,alaw")]
    allow: Option<String>,
    #[schema(default = "all")]
    disallow: Option<String>,
    #[schema(default = "transport-udp")]
    transport: Option<Transport>,
    #[schema(default = false)]
    direct_media: Option<bool>,
    #[schema(default = true)]
    rtp_symmetric: Option<bool>,
    #[schema(default = true)]
    force_rport: Option<bool>,
    /// `sdes` needs `transport-tls`; `false` is what YAML makes of `no`.
    #[schema(default = "no")]
    media_encryption: Option<MediaEncryption>,
    #[schema(default = false)]
    media_encryption_optimistic: Option<bool>,
    /// Seconds; 0 = off.
    #[schema(default = 60, maximum = 86_400)]
    qualify_frequency: Option<u32>,
    #[schema(default = false)]
    inbound_enabled: Option<bool>,
    #[schema(default = true)]
    outbound_leading_plus_enabled: Option<bool>,
    #[schema(default = true)]
    is_active: Option<bool>,
    /// Of a new trunk.
    phone_numbers: Option<Vec<NewNumber>>,
}

/// How a trunk is known.
#[derive(ToSchema)]
#[schema(rename_all = "kebab-case")]
pub enum AuthType {
    Userpass,
    IpBased,
}

/// What SIP goes over.
#[derive(ToSchema)]
pub enum Transport {
    #[schema(rename = "transport-udp")]
    Udp,
    #[schema(rename = "transport-tcp")]
    Tcp,
    #[schema(rename = "transport-tls")]
    Tls,
}

/// Whether sound is encrypted.
pub struct MediaEncryption;

impl PartialSchema for MediaEncryption {
    fn schema() -> RefOr<Schema> {
        let kinds = [Type::String, Type::Boolean];
        ObjectBuilder::new()
            .schema_type(SchemaType::from_iter(kinds))
            .enum_values(Some([json!("no"), json!("sdes"), json!(false)]))
            .into()
    }
}

impl ToSchema for MediaEncryption {}

/// Where calls go.
#[derive(ToSchema)]
pub struct Gateway {
    /// A host or an address.
    #[schema(example = "sip.zadarma.com", pattern = r"^[^\s/]+$")]
    gateway_address: String,
    #[schema(default = 5060, minimum = 1, maximum = 65_535)]
    port: Option<u16>,
    /// The lowest is tried first.
    #[schema(default = 1, maximum = 65_535)]
    priority: Option<u16>,
}

/// Where calls come from.
#[derive(ToSchema)]
pub struct IpIdentifier {
    #[schema(example = "15.207.90.192/31")]
    ip_address: String,
}

/// A trunk as it is shown: every field of it but the password.
#[derive(ToSchema)]
pub struct TrunkView {
    id: Uuid,
    name: String,
    provider: String,
    description: Option<String>,
    auth_type: String,
    auth_username: Option<String>,
    gateways: Vec<Gateway>,
    ip_identifiers: Vec<IpIdentifier>,
    allow: String,
    disallow: String,
    transport: String,
    direct_media: bool,
    rtp_symmetric: bool,
    force_rport: bool,
    media_encryption: String,
    media_encryption_optimistic: bool,
    qualify_frequency: u32,
    inbound_enabled: bool,
    outbound_leading_plus_enabled: bool,
    is_active: bool,
    phone_numbers: Vec<TrunkNumber>,
    #[schema(format = DateTime)]
    created_at: String,
    #[schema(format = DateTime)]
    updated_at: String,
}

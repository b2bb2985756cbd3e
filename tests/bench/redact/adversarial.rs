//! Inputs that make naive engines slow: each repeats what invites a closer look and holds no secret, or
//! hardly one.

/// Makes an input of about so many bytes.
pub(crate) type Make = fn(usize) -> String;

/// All of them, by name.
pub(crate) const INPUTS: [(&str, Make); 15] = [
    ("token=key=secret=", |bytes| {
        repeat("token=key=secret=", bytes)
    }),
    ("curl -H ", |bytes| repeat("curl -H ", bytes)),
    ("curl -H 'Authorization: ", |bytes| {
        repeat("curl -H 'Authorization: ", bytes)
    }),
    ("beginnings of private keys", |bytes| {
        repeat(&format!("-----BEGIN RSA {} KEY-----", "PRIVATE"), bytes)
    }),
    ("beginnings of private keys and body", |bytes| {
        let body = "MIIEvQIBADANBgkqhkiG9w0BAQEFAASC\n".repeat(4);
        repeat(
            &format!("-----BEGIN RSA {} KEY-----\n{body}", "PRIVATE"),
            bytes,
        )
    }),
    ("base64", |bytes| {
        repeat("TWFueSBoYW5kcyBtYWtlIGxpZ2h0IHdvcms5", bytes)
    }),
    ("digits", |bytes| repeat("4539578763621486", bytes)),
    ("backslashes", |bytes| repeat("\\", bytes)),
    ("password and backslashes", |bytes| {
        repeat(r#"password\\\\\\\":\\\\\\\""#, bytes)
    }),
    ("quotes", |bytes| repeat("\"'", bytes)),
    ("open brackets", |bytes| repeat("[{", bytes)),
    ("user information of addresses", |bytes| {
        repeat("https://a:b@", bytes)
    }),
    ("beginnings of tokens", |bytes| {
        repeat("ghp_sk-AKIAxoxb-eyJ", bytes)
    }),
    ("placeholders", |bytes| {
        repeat("password=[REDACTED:password]", bytes)
    }),
    ("placeholders among passwords", |bytes| {
        let password = ["Gr8Lantern", "77!x"].concat();
        repeat(
            &format!("password=[REDACTED:password] password='{password}'\n"),
            bytes,
        )
    }),
];

fn repeat(part: &str, bytes: usize) -> String {
    part.repeat(bytes / part.len())
}

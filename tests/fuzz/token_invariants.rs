//! What holds for tokens whatever is presented: it does not panic, and nothing but what was signed here is
//! taken; a token that was changed says the same as before or is refused.
//!
//! The fuzz target and the ordinary tests share this.
use fieldpost::central::auth::{Claims, TokenKeys};
use fieldpost::central::keys::KeySource;
use fieldpost::central::store::{Environment, Scope};
use fieldpost::secret::Secret;

/// Keys, and a token signed by one of them.
pub(crate) struct World {
    keys: TokenKeys,
    good: String,
    claims: Claims,
}

impl World {
    pub(crate) fn new() -> World {
        let keys = r#"{"current":"k1","keys":{"k1":"a-secret-that-is-long-enough-for-tests"}}"#;
        let keys = TokenKeys::open(KeySource::Variable(Secret::new(keys))).expect("good keys");
        let environment = Environment {
            scope: Scope {
                tenant: 1,
                environment: 1,
            },
            tenant: "acme".to_owned(),
            environment: "laptops".to_owned(),
            tenant_id: "t".to_owned(),
            environment_id: "e".to_owned(),
        };
        let claims = Claims::new(&environment, 1_795_351_565);
        let (good, _) = keys.sign(&claims);
        World { keys, good, claims }
    }

    /// Panics when something does not hold for `data` as a token, or as changes of a good one.
    pub(crate) fn check(&self, data: &[u8]) {
        let text = String::from_utf8_lossy(data);
        self.check_token(&text);
        let parts: Vec<&str> = self.good.split('.').collect();
        for at in 0..3 {
            let mut changed = parts.clone();
            changed[at] = &text;
            self.check_token(&changed.join("."));
        }
        // Each pair of bytes changes one of the token.
        let mut changed = self.good.clone().into_bytes();
        for pair in data.chunks_exact(2) {
            let at = usize::from(pair[0]) * changed.len() / 256;
            changed[at] = pair[1];
        }
        self.check_token(&String::from_utf8_lossy(&changed));
    }

    fn check_token(&self, token: &str) {
        if let Ok(claims) = self.keys.verify(token) {
            assert_eq!(claims, self.claims, "{token:?} was not signed here");
        }
    }
}

//! People: who they are, how they sign in, what they may do and see, and the log of what they did.
//!
//! ```text
//! password | link | single sign-on -> session (a cookie) -> person + role in an environment -> Sight
//! ```
//! * Only a session or a person's API key says who somebody is. What they may do follows from their
//!   membership in an environment, which is read anew for every request: a changed role is in force at once.
//! * Secrets lie in the store as hashes: passwords by argon2id, cookies, links and keys by BLAKE3, for those
//!   are random.
//! * What people change, and what they look at that others may not see, is written to the audit before it is
//!   done or shown.

mod clock;
mod name;
mod password;
mod session;
mod cookie;
mod link;
mod oidc;
mod arrive;
mod manage;
mod audited;

pub use audited::Actor;
pub use clock::Clock;
pub use link::SignInLink;
pub use manage::{NewPassword, PeopleError};
pub use name::check_person_name;
pub use oidc::{OidcError, RoleRule, RoleRules};
pub use session::{From, NewSession, Refused, SessionLimits, SignedIn};

pub(in crate::central) use cookie::{Cookie, Way, origin};
pub(in crate::central) use oidc::{Attempt, Callback, SingleSignOn, is_trusted_address};
pub(in crate::central) use password::Passwords;

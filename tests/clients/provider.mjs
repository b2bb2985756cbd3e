// An OpenID Connect provider, as a company has one: oidc-provider, which is certified by the OpenID Foundation.
//
//   node provider.mjs
//
// The working directory holds node_modules. Prints its issuer; the first line of standard input is {"redirect_uri",
// "post_logout_redirect_uri", "client_secret", "id_token_claims", "accounts", "visitor"}, each further one {"accounts"}
// to put in their place; each is answered with "ok" once it is in force. An account, by the name to sign in with, is
// {"email", "email_verified", "groups"} and can have an ID token that is wrong in one point: "forged" names it.
// A "visitor" types that name into the sign-in page as soon as it is shown.
import { createServer } from "node:http";
import { join } from "node:path";
import { createInterface } from "node:readline";
import { pathToFileURL } from "node:url";

// Standard output is for the tests alone.
console.info = console.error;

const module = (path) => import(pathToFileURL(join(process.cwd(), "node_modules", path)));
const { default: Provider } = await module("oidc-provider/lib/index.js");
const jose = await module("jose/dist/webapi/index.js");

const CLIENT = "fieldpost";
const server = createServer();
await new Promise((done) => server.listen(0, "127.0.0.1", done));
const issuer = `http://127.0.0.1:${server.address().port}`;

const key = async (kid) => {
  const pair = await jose.generateKeyPair("RS256", { extractable: true });
  return { ...pair, jwk: { ...(await jose.exportJWK(pair.privateKey)), kid, alg: "RS256", use: "sig" } };
};
const [own, foreign, next] = [await key("own"), await key("own"), await key("next")];
let accounts = {};
let settings = {};

// Each makes one thing wrong, and leaves the rest as it was.
const forgeries = {
  nonce: (claims) => sign({ ...claims, nonce: "another" }),
  audience: (claims) => sign({ ...claims, aud: "another" }),
  "other-party": (claims) => sign({ ...claims, aud: [CLIENT, "another"], azp: "another" }),
  issuer: (claims) => sign({ ...claims, iss: "https://another.example" }),
  expired: (claims) => sign({ ...claims, exp: claims.iat - 3600 }),
  future: (claims) => sign({ ...claims, iat: claims.iat + 3600 }),
  signature: (claims) => sign(claims, foreign),
  "new-key": (claims) => sign(claims, next),
  secret: (claims) =>
    new jose.SignJWT(claims)
      .setProtectedHeader({ alg: "HS256", kid: "own" })
      .sign(new TextEncoder().encode(settings.client_secret)),
  unsigned: (claims) => new jose.UnsecuredJWT(claims).encode(),
};
const sign = (claims, { privateKey, jwk } = own) =>
  new jose.SignJWT(claims).setProtectedHeader({ alg: "RS256", kid: jwk.kid }).sign(privateKey);

const start = () => {
  const provider = new Provider(issuer, {
    clients: [
      {
        client_id: CLIENT,
        client_secret: settings.client_secret,
        token_endpoint_auth_method: settings.client_secret ? "client_secret_basic" : "none",
        redirect_uris: [settings.redirect_uri],
        post_logout_redirect_uris: [settings.post_logout_redirect_uri],
      },
    ],
    jwks: { keys: [own.jwk] },
    cookies: { keys: ["a key of the tests"] },
    pkce: { required: () => true },
    claims: { openid: ["sub"], email: ["email", "email_verified"], groups: ["groups"] },
    scopes: ["openid", "email", "profile", "groups"],
    conformIdTokenClaims: !settings.id_token_claims,
    findAccount: (_, id) => accounts[id] && { accountId: id, claims: () => ({ sub: id, ...accounts[id] }) },
    // Nobody is asked whether fieldpost may know who they are: that is how companies set it up.
    async loadExistingGrant(ctx) {
      const grant = new provider.Grant({ accountId: ctx.oidc.session.accountId, clientId: CLIENT });
      grant.addOIDCScope("openid email profile groups");
      await grant.save();
      return grant;
    },
  });
  provider.use(async (ctx, proceed) => {
    await proceed();
    if (ctx.oidc?.route === "token" && ctx.body?.id_token) {
      const claims = jose.decodeJwt(ctx.body.id_token);
      const forge = forgeries[accounts[claims.sub].forged];
      if (forge) ctx.body = { ...ctx.body, id_token: await forge(claims) };
    }
    if (ctx.oidc?.route === "jwks" && settings.publishes_new_key) {
      const { n, e, kty, kid, alg, use } = next.jwk;
      ctx.body = { keys: [...ctx.body.keys, { n, e, kty, kid, alg, use }] };
    }
    if (settings.visitor && ctx.path.startsWith("/interaction/") && ctx.type === "text/html") {
      ctx.remove("content-security-policy");
      const fill = (name, value) => `document.querySelector("[name=${name}]").value = ${JSON.stringify(value)};`;
      const submit = `document.querySelector("form").requestSubmit();`;
      ctx.body += `<script>${fill("login", settings.visitor)}${fill("password", "a password")}${submit}</script>`;
    }
  });
  server.on("request", provider.callback());
};

console.log(issuer);
for await (const line of createInterface({ input: process.stdin })) {
  const isFirst = !settings.redirect_uri;
  settings = { ...settings, ...JSON.parse(line) };
  accounts = settings.accounts;
  if (isFirst) start();
  console.log("ok");
}
server.close();
server.closeAllConnections();

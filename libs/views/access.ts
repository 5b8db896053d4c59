import { z } from 'zod';
import { answers, anyObject, fields, instant, list, page, uuid } from './shapes';

/** What a key of the api allows; each includes the ones before it. */
export const apiScopes = ['viewer', 'operator', 'admin'] as const;
export type ApiScope = (typeof apiScopes)[number];

const apiKeyFields = {
  name: z.string().meta({ example: 'service-desk' }),
  scope: z.enum(apiScopes),
  pools: list(z.string()).nullable().describe('The pools it is limited to; null: it is for everything'),
  state: z.enum(['valid', 'expired', 'revoked']),
  createdAt: instant,
  createdBy: z.string(),
  expiresAt: instant,
  lastUsedAt: instant.nullable().describe('To the minute'),
  revokedAt: instant.nullable(),
  revokedBy: z.string().nullable(),
};

/** A key of the api as people may see it: nothing of the key itself. */
export const apiKeyView = fields(apiKeyFields).register(answers, { id: 'ApiKey' });
export type ApiKeyView = z.infer<typeof apiKeyView>;

export const newApiKeyView = fields({
  ...apiKeyFields,
  key: z.string().describe('The key itself: it is shown this once'),
}).register(answers, { id: 'NewApiKey' });
export type NewApiKeyView = z.infer<typeof newApiKeyView>;

export const apiKeyList = fields({ items: list(apiKeyView) }).register(answers, { id: 'ApiKeyList' });

const auditView = fields({
  id: z.string().describe('Grows with time; a text, since it may grow beyond what a number holds'),
  at: instant,
  actor: z.string().meta({ example: 'key:service-desk', description: '`key:<name>`, `broker:<source>`, `anonymous`' }),
  action: z.string().meta({ example: 'desktop.save' }),
  target: z.string().meta({ example: 'ada' }),
  reason: z.string().nullable(),
  outcome: z.string().describe('What came of it: applied, joined, ignored, accepted, or the code of the refusal'),
  details: anyObject,
}).register(answers, { id: 'AuditLine' });
export type AuditView = z.infer<typeof auditView>;

export const auditPage = page(auditView).register(answers, { id: 'AuditPage' });

export const prunedAudit = fields({ removed: z.int().describe('How many lines were removed') }).register(answers, {
  id: 'PrunedAudit',
});
export type PrunedAudit = z.infer<typeof prunedAudit>;

/** A data key as people may see it: nothing of the key itself. */
const keyView = fields({
  scope: z.string().meta({ example: 'desktop/ada', description: 'What it is for: `content`, or `desktop/<id>`' }),
  keyId: uuid.describe('What is encrypted with the key names it so'),
  kekId: z.string().describe('The key-encryption key that wraps it'),
  createdAt: instant,
  wrappedAt: instant,
}).register(answers, { id: 'Key' });
export type KeyView = z.infer<typeof keyView>;

export const keyPage = page(keyView).register(answers, { id: 'KeyPage' });

export const keyRotationView = fields({
  kekId: z.string().describe('The key-encryption key that wraps from now on'),
  rewrapped: z.int().describe('How many keys this request has wrapped again'),
  remaining: z.int().describe('How many keys another one still wraps: ask again with `rewrapOnly` until it is 0'),
  rejected: list(fields({ scope: z.string(), message: z.string() })).describe(
    'Keys that cannot be unwrapped; they stay as they are',
  ),
}).register(answers, { id: 'KeyRotation' });
export type KeyRotationView = z.infer<typeof keyRotationView>;

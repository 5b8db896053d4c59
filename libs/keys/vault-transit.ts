import { randomBytes } from 'node:crypto';
import { DormouseError, isDormouseError } from '@dormouse/errors';
import { keyRejected, keyUnavailable } from './key-errors';
import type { KeyProvider, WrappedKey } from './key-provider';
import { keyBytes } from './key-wrapping';
import { VaultClient, type VaultPatience } from './vault-client';

export interface VaultKey {
  /** `https://host:port` */
  readonly origin: string;
  readonly mount: string;
  readonly keyName: string;
  readonly token: string;
  readonly patience?: VaultPatience;
}

/** What Vault makes of 32 bytes has about 100 characters. */
const longestCiphertext = 1024;
const ciphertextShape = /^vault:v([1-9]\d{0,9}):[A-Za-z0-9+/]+={0,2}$/;

/**
 * Key-encryption keys in the transit engine of HashiCorp Vault: data keys go there to be wrapped and unwrapped, the
 * KEK never leaves it. The purpose goes along as `associated_data`, so the key has to be of an AEAD type
 * (aes256-gcm96, chacha20-poly1305). Needs `update` on encrypt/<key> and decrypt/<key>, and nothing else: the key is made and
 * rotated in Vault.
 */
export class VaultTransit implements KeyProvider {
  private readonly client: VaultClient;
  private readonly keyName: string;
  /** What KEK ids begin with. */
  private readonly name: string;
  private bindsPurpose = false;

  constructor({ origin, mount, keyName, token, patience }: VaultKey) {
    this.client = new VaultClient({ base: `${origin}/v1/${mount}`, token, patience });
    this.keyName = keyName;
    this.name = `vault:${mount}/${keyName}`;
  }

  /** The version of a wrapped key tells it, and asks for no right besides those that are needed anyway. */
  async currentKek(): Promise<string> {
    return (await this.wrap(randomBytes(keyBytes), 'probe')).kekId;
  }

  async wrap(key: Buffer, purpose: string): Promise<WrappedKey> {
    const wrapped = await this.encrypt(key, purpose);
    await this.makeSureThatPurposesAreBound(wrapped, purpose);
    return wrapped;
  }

  async unwrap({ kekId, wrapped }: WrappedKey, purpose: string): Promise<Buffer> {
    if (!kekId.startsWith(`${this.name}:v`)) {
      throw keyRejected(purpose, `it was wrapped by ${kekId}, and KEY_URL names ${this.name}`);
    }
    const ciphertext = wrapped.toString('latin1');
    if (ciphertext.length > longestCiphertext || !ciphertextShape.test(ciphertext)) {
      throw keyRejected(purpose, 'it is damaged');
    }
    const answer = await this.client.post(`decrypt/${this.keyName}`, {
      ciphertext,
      associated_data: base64(purpose),
    });
    if (answer.refused !== null) throw keyRejected(purpose, `Vault says: ${answer.refused}`);
    const { plaintext } = answer.data;
    const key = Buffer.from(typeof plaintext === 'string' ? plaintext : '', 'base64');
    if (key.length !== keyBytes) throw keyRejected(purpose, `Vault answered ${key.length} bytes instead of a key`);
    return key;
  }

  /** Vault makes its own, by hand or by `auto_rotate_period`. */
  async addKek(): Promise<void> {}

  private async encrypt(key: Buffer, purpose: string): Promise<WrappedKey> {
    const answer = await this.client.post(`encrypt/${this.keyName}`, {
      plaintext: key.toString('base64'),
      associated_data: base64(purpose),
    });
    if (answer.refused !== null) {
      throw keyUnavailable(`Vault does not wrap with ${this.name}: ${answer.refused}. Is it an AEAD key?`);
    }
    const { ciphertext } = answer.data;
    const version =
      typeof ciphertext === 'string' && ciphertext.length <= longestCiphertext
        ? ciphertextShape.exec(ciphertext)?.[1]
        : undefined;
    if (version === undefined) throw keyUnavailable(`what Vault answered for ${this.name} is no ciphertext`);
    return { kekId: `${this.name}:v${version}`, wrapped: Buffer.from(ciphertext as string, 'latin1') };
  }

  /** A Vault that is too old for `associated_data` ignores it without a word; then any wrapped key would pass for any other. */
  private async makeSureThatPurposesAreBound(wrapped: WrappedKey, purpose: string): Promise<void> {
    if (this.bindsPurpose) return;
    try {
      (await this.unwrap(wrapped, `not ${purpose}`)).fill(0);
    } catch (error) {
      if (!isDormouseError(error, 'KEY_REJECTED')) throw error;
      this.bindsPurpose = true;
      return;
    }
    throw new DormouseError('CONFIG_INVALID', `the Vault of KEY_URL ignores associated_data: a newer one is needed`, {
      variables: ['KEY_URL'],
    });
  }
}

function base64(text: string): string {
  return Buffer.from(text).toString('base64');
}

import { createCipheriv, createDecipheriv, randomBytes } from 'node:crypto';
import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import { json } from 'node:stream/consumers';

const prefix = /^vault:v(\d+):(.+)$/;

/** What a request is answered with instead of what it asks for; `never` is silence. */
type Trouble = { readonly status: number; readonly body: string } | 'never';

/**
 * As much of Vault's HTTP API as we use, with real keys: transit's encrypt and decrypt with `associated_data` for one
 * aes256-gcm96 key, its versions, and the token. Not Vault itself.
 */
export class VaultServer {
  readonly token = `hvs.${randomBytes(12).toString('hex')}`;
  /** Requests so far, as `<method> <path>`. */
  readonly requests: string[] = [];
  /** Answers for the next requests, one each. */
  readonly troubles: Trouble[] = [];
  /** As a Vault that is too old for associated data. */
  ignoresAssociatedData = false;
  private readonly versions: Buffer[] = [randomBytes(32)];

  private constructor(private readonly server: Server) {}

  static async start(): Promise<VaultServer> {
    const server = createServer();
    const vault = new VaultServer(server);
    server.on('request', (request, response) => {
      vault.answer(request, response).catch((error: Error) => vault.refuse(response, 500, error.message));
    });
    await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
    return vault;
  }

  get port(): number {
    return (this.server.address() as AddressInfo).port;
  }

  get keyUrl(): string {
    return `vault+http://127.0.0.1:${this.port}/team/transit/dormouse`;
  }

  /** As `vault write -f team/transit/keys/dormouse/rotate`. */
  rotate(): void {
    this.versions.push(randomBytes(32));
  }

  stop(): Promise<void> {
    this.server.closeAllConnections();
    return new Promise((resolve) => this.server.close(() => resolve()));
  }

  private async answer(request: IncomingMessage, response: ServerResponse): Promise<void> {
    this.requests.push(`${request.method} ${request.url}`);
    const trouble = this.troubles.shift();
    if (trouble === 'never') return;
    if (trouble !== undefined) {
      response.writeHead(trouble.status, { 'content-type': 'application/json' }).end(trouble.body);
      return;
    }
    if (request.headers['x-vault-token'] !== this.token) return this.refuse(response, 403, 'permission denied');
    const body = (await json(request)) as Record<string, string>;
    const associated = Buffer.from(this.ignoresAssociatedData ? '' : (body['associated_data'] ?? ''), 'base64');
    const action = /^\/v1\/team\/transit\/(encrypt|decrypt)\/(\w+)$/.exec(request.url ?? '');
    if (action === null || request.method !== 'POST') return this.refuse(response, 404, 'no handler for route');
    if (action[2] !== 'dormouse') return this.refuse(response, 400, 'encryption key not found');
    if (action[1] === 'encrypt') return this.encrypt(response, Buffer.from(body['plaintext']!, 'base64'), associated);
    this.decrypt(response, body['ciphertext']!, associated);
  }

  private encrypt(response: ServerResponse, plaintext: Buffer, associated: Buffer): void {
    const version = this.versions.length;
    const nonce = randomBytes(12);
    const cipher = createCipheriv('aes-256-gcm', this.versions.at(-1)!, nonce).setAAD(associated);
    const bytes = Buffer.concat([nonce, cipher.update(plaintext), cipher.final(), cipher.getAuthTag()]);
    this.data(response, { ciphertext: `vault:v${version}:${bytes.toString('base64')}`, key_version: version });
  }

  private decrypt(response: ServerResponse, ciphertext: string, associated: Buffer): void {
    const [, version, encoded] = prefix.exec(ciphertext) ?? [];
    const key = this.versions[Number(version) - 1];
    const bytes = Buffer.from(encoded ?? '', 'base64');
    if (key === undefined || bytes.length < 28) return this.refuse(response, 400, 'invalid ciphertext');
    const decipher = createDecipheriv('aes-256-gcm', key, bytes.subarray(0, 12)).setAAD(associated);
    decipher.setAuthTag(bytes.subarray(-16));
    try {
      const plaintext = Buffer.concat([decipher.update(bytes.subarray(12, -16)), decipher.final()]);
      this.data(response, { plaintext: plaintext.toString('base64') });
    } catch {
      this.refuse(response, 400, 'cipher: message authentication failed');
    }
  }

  private data(response: ServerResponse, data: object): void {
    response.writeHead(200, { 'content-type': 'application/json' }).end(JSON.stringify({ data }));
  }

  private refuse(response: ServerResponse, status: number, why: string): void {
    response.writeHead(status, { 'content-type': 'application/json' }).end(JSON.stringify({ errors: [why] }));
  }
}

import { createHmac } from 'node:crypto';
import { request, type Agent } from 'node:http';

/** A signed webhook, ready to be sent. */
export interface Shot {
  readonly headers: Readonly<Record<string, string>>;
  readonly body: string;
}

/** Signed for now, by node:crypto: it is cheap, and what is measured is not who sends. */
export function shotOf(secret: string, webhookId: string, body: string): Shot {
  const timestamp = String(Math.floor(Date.now() / 1000));
  const key = Buffer.from(secret.replace(/^whsec_/, ''), 'base64');
  const signature = createHmac('sha256', key).update(`${webhookId}.${timestamp}.${body}`).digest('base64');
  return {
    body,
    headers: {
      'content-type': 'application/cloudevents+json',
      'content-length': String(Buffer.byteLength(body)),
      'webhook-id': webhookId,
      'webhook-timestamp': timestamp,
      'webhook-signature': `v1,${signature}`,
    },
  };
}

/** A sender that is not answered for so long tries again. */
const answerPatienceMs = 10_000;

/** @returns the status of the answer @throws when there is none */
export function shoot(agent: Agent, url: string, { headers, body }: Shot): Promise<number> {
  return new Promise((resolve, reject) => {
    const sent = request(
      `${url}/v1/webhooks`,
      { agent, method: 'POST', headers, timeout: answerPatienceMs },
      (response) => {
        response.resume();
        response.on('end', () => resolve(response.statusCode ?? 0));
        response.on('error', reject);
      },
    );
    sent.on('timeout', () => sent.destroy(new Error('no answer')));
    sent.on('error', reject);
    sent.end(body);
  });
}

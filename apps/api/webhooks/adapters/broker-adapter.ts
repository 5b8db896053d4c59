import type { IncomingHttpHeaders } from 'node:http';

/**
 * A port for brokers that do not speak CloudEvents: whoever forwards their messages signs them as any webhook is signed and
 * sends them to `/v1/webhooks/<name>`.
 */
export interface BrokerAdapter {
  /** The last part of the address. */
  readonly name: string;
  /**
   * The CloudEvents, in our types, that a message amounts to, in their order; none when it is nothing to us. They are read
   * again as if the broker had sent them: what is in them need not be valid.
   * @param message parsed JSON, nothing of it checked; undefined when there was none
   * @param webhookId names the message; the ids of the events are made of it
   * @throws EVENT_MALFORMED
   */
  toEvents(message: unknown, webhookId: string, headers?: IncomingHttpHeaders): readonly unknown[];
  /** Whether the sender wants to hear of each event; else a message is answered as the last of them. */
  answersEach?(headers: IncomingHttpHeaders): boolean;
}

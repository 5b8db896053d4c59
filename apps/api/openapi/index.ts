/** The API's own description, made of the schemas that it reads requests and writes answers by; at /openapi.json and /docs. */
export { Describe } from './describe';
export { describeApi, serveOpenApi, webhookSignature } from './document';
export { ReadBody, ReadQuery } from './read';
export { requests } from './schemas';

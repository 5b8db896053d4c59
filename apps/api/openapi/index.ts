/** The API's own description: the shapes of its answers, and the document at /openapi.json and /docs. */
export {
  AcknowledgementBody,
  ApiKeyBody,
  ApiKeyListBody,
  AuditPageBody,
  CheckpointBody,
  CheckpointPageBody,
  DesktopBody,
  DesktopPageBody,
  HostBody,
  HostListBody,
  KeyPageBody,
  KeyRotationBody,
  NewApiKeyBody,
  OperationBody,
  OperationListBody,
  PoolBody,
  ProblemBody,
} from './bodies';
export { serveOpenApi } from './document';

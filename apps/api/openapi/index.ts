/** The API's own description: the shapes of its answers, and the document at /openapi.json and /docs. */
export {
  AcknowledgementBody,
  ApiKeyBody,
  ApiKeyListBody,
  AuditPageBody,
  BrokerListBody,
  CheckpointBody,
  CheckpointPageBody,
  DesktopBody,
  DesktopPageBody,
  ExpectedOperationBody,
  HostBody,
  HostListBody,
  KeyPageBody,
  KeyRotationBody,
  NewApiKeyBody,
  OperationBody,
  OperationListBody,
  ProblemBody,
  PrunedAuditBody,
  RetiredBrokerBody,
} from './bodies';
export { ExplanationBody } from './explanation-body';
export { RehearsalBody } from './rehearsal-body';
export { PoolBody } from './pool-body';
export { serveOpenApi } from './document';

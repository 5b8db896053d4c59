/**
 * What Dormouse answers with, as schemas: the types, the api's description and the tests that hold answers against it come from here.
 * Values are plain and survive JSON. Does not live here: what is asked (apps/api), and how a view is made (libs/ledger).
 */
export {
  apiKeyList,
  apiKeyView,
  apiScopes,
  auditPage,
  keyPage,
  keyRotationView,
  newApiKeyView,
  prunedAudit,
  type ApiKeyView,
  type ApiScope,
  type AuditView,
  type KeyRotationView,
  type KeyView,
  type NewApiKeyView,
  type PrunedAudit,
} from './access';
export { webhookAnswer, type Acknowledgement, type BatchAcknowledgement, type BatchItem } from './acknowledgement';
export { brokerList, retiredBrokerView, type BrokerView, type RetiredBrokerView } from './broker';
export { checkpointPage, keptCheckpointView, type CheckpointView, type KeptCheckpointView } from './checkpoint';
export { desktopPage, desktopView, type DesktopView, type SourceView } from './desktop';
export { explanationView, type ExplanationView } from './explanation';
export { hostList, hostView, type HostIntent, type HostLoad, type HostTrouble, type HostView } from './host';
export {
  expectedOperationView,
  operationList,
  operationView,
  type EtaView,
  type ExpectedOperationView,
  type OperationView,
} from './operation';
export { poolView, type PoolView, type StormView } from './pool';
export { rehearsal, type RehearsedView } from './rehearsal';
export { answers, errorCode, fields, instant, list, type Page } from './shapes';

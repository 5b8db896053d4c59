/**
 * What happens to a desktop and when: presence, machine states, operations, pool policies, and the one function that
 * decides. Pure: no clock, no database, no queue; the ledger brings those.
 */
export type { JsonObject, JsonValue } from './json';
export { conditionsInWords, guestConditions, type GuestCondition, type KeptCondition } from './guest-condition';
export { machineStateNames, machineStates, type MachineState } from './machine-states';
export {
  endedStatuses,
  firstPhase,
  openStatuses,
  operationKindNames,
  operationKinds,
  operationPhases,
  type EndedStatus,
  type FinishStatus,
  type OpenStatus,
  type OperationKind,
  type OperationPhase,
  type OperationStatus,
} from './operations';
export {
  capNames,
  consents,
  dayNames,
  defaultPoolPolicy,
  parsePoolPolicy,
  poolPolicy,
  type CapName,
  type Caps,
  type Consent,
  type PoolPolicy,
  type StormPolicy,
} from './pool-policy';
export { planFor, type Plan, type Pool, type Wait } from './plan';
export { isOver, stormCauses, stormIn, stormOfRestart, type Storm, type Tally } from './storm';
export {
  brokerEventTypes,
  disconnectReasons,
  isDesktopEvent,
  type BrokerHeartbeat,
  byHand,
  isEnding,
  type BrokerEvent,
  type BrokerEventType,
  type BrokerNotice,
  type ConnectionClosed,
  type ConnectionOpened,
  type DesktopEvent,
  type DesktopNotice,
  type DisconnectReason,
  type PresenceSnapshot,
} from './broker-events';
export { parseBrokerEvent, readBrokerEvent, type ReadBrokerEvent } from './parse-broker-event';
export {
  mayBePresent,
  nobody,
  observe,
  occupancies,
  occupancy,
  partOf,
  visibleConnections,
  type Occupancy,
  type Presence,
} from './presence';
export { isInDoubt, type Assignment, type SourcePresence } from './source-presence';
export { openOf } from './connections';
export { assignmentIn, idleSinceOf } from './attendance';
export {
  absenceCauses,
  brokerActor,
  drainActor,
  newSession,
  policyActor,
  type Absence,
  type AbsenceCause,
  type Again,
  type Decision,
  type Effect,
  type GoingBack,
  type Observed,
  type OpenOperation,
  type RecordedError,
  type Session,
  type SessionEvent,
} from './session';
export {
  keepReasons,
  reasonsToKeep,
  toCondemn,
  type CheckpointStanding,
  type KeepReason,
  type RetentionPolicy,
} from './retention';
export { mayFallBack } from './fall-back';
export { consentedRung, passingRestores, requestOf, rungsOf, type Resort, type Rung } from './ladder';
export { wayUp } from './way-up';
export { layerToWrite, type DiskNow, type LayerToWrite } from './layer-to-write';
export { admission, admissionOf, slotOf, type SlotKind } from './admission';
export { capsHeld, capsNeeded } from './caps';
export { etaOf, spreadOf, type Spread, type Eta, type Standing, type Taken } from './eta';
export { place, type HostStanding, type Placement, type PlacementWish } from './placement';
export { decide } from './decide';
export { explain, type Circumstances, type Draining, type Explanation, type Hindrance, type Next } from './explain';
export type { Doubt } from './doubt';
export { answers, rules, signals, type RuleName, type Signal } from './transitions';

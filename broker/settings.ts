/**
 * Settings of a broker. The command line resolves them once (commands/serve-settings.ts), and the
 * parts refer to them.
 */

import type { Log } from '../shared/base/ports.ts';
import type { TrustRoot } from '../shared/formats/trust.ts';
import type { LogPolicy } from '../shared/tlog/policy.ts';
import type { CertificateFiles } from './access/certificates.ts';
import type { AuthorityFiles } from './enrolment/authority.ts';
import type { EngineAddress } from './attached/link.ts';
import type { EngineProfile } from './mqtt/engine-profile.ts';
import type { Doors } from './mqtt/listeners.ts';
import type { UpstreamOptions } from './relay/relay.ts';
import type { LeadOptions } from './rollout/lead.ts';
import type { WebhookTarget } from './webhooks/post-message.ts';

export interface BrokerSettings {
  readonly dataFolder: string;
  readonly host: string;
  /** 0 lets the system choose. */
  readonly httpPort: number;
  /** The MQTT address that GET /site names, as behind a proxy; null: the doors themselves. */
  readonly publicMqtt: string | null;
  /** With certificates, WebSocket and HTTP use TLS as well. */
  readonly certificateFiles: CertificateFiles | null;
  readonly credentialsFile: string | null;
  /** Signs certificates of robots that enrol; null: they get secrets. */
  readonly authorityFiles: AuthorityFiles | null;
  /**
   * Required with an external engine: anybody may write there, and only verified messages are
   * shown.
   */
  readonly trust: TrustRoot | null;
  /** Keys of the transparency log and its witnesses; null: its lines are not proven here. */
  readonly logPolicy: LogPolicy | null;
  readonly storeBytesMax: number;
  /** How long chunks that no announced bundle needs are kept; null keeps them for ever. */
  readonly keepUnannouncedMs: number | null;
  /** Null when this broker leads no rollouts. */
  readonly lead: LeadOptions | null;
  /** Receivers of decisions that are for a person; empty where it leads none. */
  readonly webhooks: readonly WebhookTarget[];
  readonly engine: EmbeddedSettings | AttachedSettings;
  readonly log: Log;
}

/** The engine in this process. */
export interface EmbeddedSettings {
  readonly kind: 'embedded';
  readonly doors: Doors;
  readonly connectionsMax: number;
  /** Origins of web pages that may connect over WebSocket. */
  readonly wsOrigins: readonly string[];
  /** Bytes of chunks to all clients together; null for no limit. */
  readonly bytesPerSecondMax: number | null;
  /** Null when this broker is no relay. */
  readonly upstream: UpstreamOptions | null;
}

/** An external engine. */
export interface AttachedSettings {
  readonly kind: 'attached';
  readonly address: EngineAddress;
  readonly profile: EngineProfile;
}

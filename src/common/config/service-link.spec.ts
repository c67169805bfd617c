import { describe, expect, it } from 'vitest';
import { isServiceLink } from './service-link.js';

describe('A link to a Service', () => {
  it.each([
    ['DTC_SERVICE_HOST', '10.96.0.7'],
    ['DTC_SERVICE_HOST', 'fd00:10:96::7'],
    ['DTC_SERVICE_PORT', '3000'],
    ['DTC_SERVICE_PORT_HTTP_METRICS', '9090'],
    ['DTC_PORT', 'tcp://10.96.0.7:3000'],
    ['DTC_PORT', 'udp://[fd00:10:96::7]:53'],
    ['DTC_PORT_3000_TCP', 'tcp://10.96.0.7:3000'],
    ['DTC_PORT_3000_TCP_PROTO', 'tcp'],
    ['DTC_PORT_3000_TCP_PORT', '3000'],
    ['DTC_PORT_3000_TCP_ADDR', '10.96.0.7'],
    ['DTC_PORT_53_UDP_ADDR', 'fd00:10:96::7'],
    ['DTC_SHOP_PORT_132_SCTP', 'sctp://10.96.0.7:132'],
    ['DECISION_LOG_SERVICE_HOST', '10.96.0.7'],
  ])('is %s=%s', (name, value) => {
    expect(isServiceLink(name, value)).toBe(true);
  });

  it.each([
    ['DTC_PORT', '3000'],
    ['DTC_PORT', 'tcp://'],
    ['DTC_PORT', ''],
    ['DTC_PORT', 'https://10.96.0.7:3000'],
    ['DTC_SERVICE_HOST', 'somewhere'],
    ['DTC_SERVICE_PORT', 'http'],
    ['DTC_SERVICE_PORTS', '3000'],
    ['DTC_PORT_3000_TCP_ADDR', 'tcp://10.96.0.7:3000'],
    ['DTC_PORT_HTTP_TCP', 'tcp://10.96.0.7:3000'],
    ['DTC_PORT_3000_TCP_PROTO', 'http'],
    ['DTC_TIMEOUT', 'tcp://10.96.0.7:3000'],
    ['PORT', 'tcp://10.96.0.7:3000'],
  ])('is not %s=%s', (name, value) => {
    expect(isServiceLink(name, value)).toBe(false);
  });
});

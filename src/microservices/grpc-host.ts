import { fileURLToPath } from 'node:url';

/** The service of a participant host over gRPC, and its method. */
export const GRPC_SERVICE = 'ParticipantHost';
export const GRPC_METHOD = 'Calls';

/**
 * What the options of a microservice over gRPC need, so that it serves coordinators:
 * `app.connectMicroservice({ transport: Transport.GRPC, options: { ...GRPC_HOST, url } })`. `protoPath` is
 * the path of the .proto file in this package.
 *
 * @publicApi
 */
export const GRPC_HOST: { readonly package: string; readonly protoPath: string } = {
  package: 'dtc.v1',
  protoPath: fileURLToPath(new URL('./participant-host.proto', import.meta.url)),
};

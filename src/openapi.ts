import type { INestApplication } from '@nestjs/common';
import { DocumentBuilder, type OpenAPIObject, SwaggerModule } from '@nestjs/swagger';

const OF_THE_SHOP =
  'Orders that change three services together or not at all, and an interface for operators.';

/** Serves the documentation of every route at `/docs`, and as OpenAPI at `/openapi.json`. */
export function serveDocumentation(app: INestApplication, description = OF_THE_SHOP): void {
  SwaggerModule.setup('docs', app, () => documentOf(app, description), {
    jsonDocumentUrl: 'openapi.json',
    raw: ['json'],
  });
}

function documentOf(app: INestApplication, description: string): OpenAPIObject {
  const config = new DocumentBuilder()
    .setTitle('Distributed transaction coordinator')
    .setDescription(`${description} Errors are application/problem+json (RFC 9457).`)
    .setVersion('1')
    .addBearerAuth()
    .build();
  return SwaggerModule.createDocument(app, config);
}

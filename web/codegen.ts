import type { CodegenConfig } from "@graphql-codegen/cli";

const config: CodegenConfig = {
	schema: "../schema.graphql",
	documents: ["src/**/*.{ts,tsx}", "!src/gql/**"],
	generates: {
		"./src/gql/": {
			preset: "client",
			presetConfig: {
				fragmentMasking: false,
				// The server knows the page's documents by these hashes, also where it executes no others.
				persistedDocuments: { mode: "embedHashInDocument", hashPropertyName: "hash", hashAlgorithm: "sha256" },
			},
			config: {
				documentMode: "string",
				enumsAsTypes: true,
				useTypeImports: true,
				strictScalars: true,
				scalars: { DateTime: "string", JSON: "unknown", Upload: "Blob" },
			},
		},
	},
};

export default config;

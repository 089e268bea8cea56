import { Link } from "@tanstack/react-router";
import type { ReactNode } from "react";
import { useDocument } from "../api/queries";
import { graphql } from "../gql";
import type { NamedVersionQuery } from "../gql/graphql";
import { Answer, Empty } from "./Answer";
import { parseVersionName } from "./versionName";

const NAMED = graphql(`
	query NamedVersion($model: String!, $number: Int, $alias: String) {
		model(name: $model) {
			id
			name
			version(number: $number, alias: $alias) {
				id
				number
				status
				accuracy
				dataset {
					id
					name
				}
			}
		}
	}
`);

/** A version with the name of its model. */
export type FoundVersion = { model: string } & NonNullable<NonNullable<NamedVersionQuery["model"]>["version"]>;

interface NamedVersionProps {
	/** As people write it: `plain:1`, or `plain` for the latest version. */
	name: string;
	children: (version: FoundVersion) => ReactNode;
}

/** What is shown of a version that the reader names; if there is none, that it is not there. */
export function NamedVersion({ name, children }: NamedVersionProps) {
	const parsed = parseVersionName(name);
	const found = useDocument(NAMED, {
		model: parsed?.model ?? "",
		number: parsed?.number ?? null,
		alias: parsed?.number ? null : "latest",
	});
	return (
		<Answer query={found} rows={5}>
			{({ model }) =>
				model?.version ? (
					children({ model: model.name, ...model.version })
				) : (
					<Empty>
						There is no version <bdi>{name}</bdi>. The <Link to="/">library</Link> lists what there is.
					</Empty>
				)
			}
		</Answer>
	);
}

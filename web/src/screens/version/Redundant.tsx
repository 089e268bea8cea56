import { Link } from "@tanstack/react-router";
import { useDocument } from "../../api/queries";
import { graphql } from "../../gql";
import { Fold } from "../../ui/Fold";
import { score } from "../../ui/format";
import type { NamedVersion } from "./Version";

const REDUNDANT = graphql(`
	query Redundant($version: ID!) {
		version(id: $version) {
			id
			redundantNeighbours {
				score
				layer {
					id
					name
				}
				otherLayer {
					id
					name
				}
			}
		}
	}
`);

/** Says which neighbours compute nearly the same, if any do. */
export function Redundant({ model, version }: NamedVersion) {
	const redundant = useDocument(REDUNDANT, { version: version.id });
	const pairs = redundant.data?.version?.redundantNeighbours ?? [];
	if (pairs.length === 0) return null;
	const layer = (name: string) => (
		<Link
			to="/models/$model/versions/$number/layers/$layer"
			params={{ model, number: String(version.number), layer: name }}
		>
			{name}
		</Link>
	);
	return (
		<Fold
			className="notice"
			summary={`${pairs.length === 1 ? "One pair" : `${pairs.length} pairs`} of neighbouring layers compute nearly the same, so one of each pair may be spare.`}
		>
			{() => (
				<ul>
					{pairs.map(({ layer: first, otherLayer: second, score: value }) => (
						<li key={first.id}>
							{layer(first.name)} and {layer(second.name)}: {score(value)}
						</li>
					))}
				</ul>
			)}
		</Fold>
	);
}

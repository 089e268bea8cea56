import { useDocument } from "../../api/queries";
import { graphql } from "../../gql";
import { Folded } from "../../ui/Folded";
import { score } from "../../ui/format";
import { LayerLink } from "../../ui/links";
import { spare } from "./spare";
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
					kind
				}
				otherLayer {
					id
					name
					kind
					parameterCount
				}
			}
		}
	}
`);

/** Says which layers add little to what the layer before them computes, if any do. */
export function Redundant({ model, version }: NamedVersion) {
	const redundant = useDocument(REDUNDANT, { version: version.id });
	const pairs = spare(redundant.data?.version?.redundantNeighbours ?? []);
	if (pairs.length === 0) return null;
	const layer = ({ name, kind }: { name: string; kind: string }) => (
		<>
			<LayerLink model={model} number={version.number} layer={name} /> <span className="quiet">{kind}</span>
		</>
	);
	return (
		<Folded
			className="notice"
			summary={`${pairs.length === 1 ? "One layer computes" : `${pairs.length} layers compute`} nearly the same as the layer before.`}
		>
			{() => (
				<>
					<p>
						The debiased CKA of each pair is 0.98 or more. The second layer may be spare; whether it is, only a network
						without it can show.
					</p>
					<ul>
						{pairs.map(({ layer: first, otherLayer: second, score: value }) => (
							<li key={first.id}>
								{layer(first)} and {layer(second)}: {score(value)}
							</li>
						))}
					</ul>
				</>
			)}
		</Folded>
	);
}

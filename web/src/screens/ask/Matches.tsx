import type { DegenerateReason, SimilarToActivationsMutation } from "../../gql/graphql";
import { Empty } from "../../ui/Answer";
import { Folded } from "../../ui/Folded";
import { shape } from "../../ui/format";
import { HIT_COLUMNS, HIT_MARK } from "../../ui/hits";
import { proof } from "../../ui/proof";
import { Table } from "../../ui/Table";
import "./Matches.css";

/** Why an array cannot be compared. */
const REASONS: Record<DegenerateReason, string> = {
	CONSTANT: "its output is the same for every probe image",
	NOT_FINITE: "it has NaN or infinity for at least one probe image",
	NO_SHARED_STRUCTURE: "its outputs for different probe images have nothing in common",
};

const COLUMNS = [...HIT_COLUMNS, HIT_MARK];

type ActivationMatches = SimilarToActivationsMutation["similarToActivations"]["matches"][number];

interface MatchesProps {
	matches: ActivationMatches;
	isOpen: boolean;
}

/** The most similar layers of the library to a layer of the file. Folded, it says the best one. */
export function Matches({ matches: { name, shape: sizes, degenerate, hits, ...proven }, isOpen }: MatchesProps) {
	const [best] = hits;
	const summary = (
		<>
			<h2>
				<bdi>{name}</bdi>
			</h2>{" "}
			<span className="quiet">
				{shape(sizes)}
				{degenerate && ", cannot be compared"}
				{best && (
					<>
						, most similar to layer <bdi>{best.node.name}</bdi> of <bdi>{best.node.version.model.name}</bdi>
					</>
				)}
			</span>
		</>
	);
	return (
		<Folded className="matches" summary={summary} isOpen={isOpen}>
			{() => (
				<>
					{degenerate && <p className="notice bad">This layer cannot be compared: {REASONS[degenerate]}.</p>}
					{!degenerate && hits.length === 0 && <Empty>The library has no layer on this probe set.</Empty>}
					{hits.length > 0 && (
						<>
							<p className="proof">{proof(proven)}</p>
							<Table label={`Layers similar to ${name}`} columns={COLUMNS} rows={hits} rowKey={({ node }) => node.id} />
						</>
					)}
				</>
			)}
		</Folded>
	);
}

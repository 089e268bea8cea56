import { useChange, usePages } from "../../api/queries";
import { graphql } from "../../gql";
import type { ChannelsQuery } from "../../gql/graphql";
import { Answer, Empty } from "../../ui/Answer";
import { More } from "../../ui/More";
import { Picture } from "../../ui/Picture";
import { Problem } from "../../ui/Problem";
import { WriteButton } from "../../ui/WriteButton";
import type { Layer } from "./Layer";
import "./Channels.css";

const CHANNELS = graphql(`
	query Channels($layer: ID!, $after: String) {
		layer(id: $layer) {
			id
			syntheses(first: 100) {
				nodes {
					id
					target {
						channel
						row
					}
					picture {
						url
						width
						height
					}
				}
			}
			channelExemplars(first: 16, after: $after) {
				totalCount
				pageInfo {
					hasNextPage
					endCursor
				}
				nodes {
					channel
					images {
						index
						activation
						picture {
							url
							width
							height
						}
					}
				}
			}
		}
	}
`);

const FIND = graphql(`
	mutation FindExemplars($input: FindExemplarsInput!) {
		findExemplars(input: $input) {
			job {
				id
			}
		}
	}
`);

const SYNTHESIZE = graphql(`
	mutation Synthesize($input: SynthesizeImageInput!) {
		synthesizeImage(input: $input) {
			job {
				id
			}
		}
	}
`);

type ChannelList = NonNullable<NonNullable<ChannelsQuery["layer"]>["channelExemplars"]>["nodes"];

/** What each channel of a layer reacts to: the strongest real images, beside the synthetic one. */
export function Channels({ layer, version }: { layer: Layer; version: string }) {
	const channels = usePages(CHANNELS, { layer: layer.id }, (data) => data.layer?.channelExemplars);
	const find = useChange(FIND);
	const synthesize = useChange(SYNTHESIZE);
	return (
		<section aria-labelledby="channels">
			<h2 id="channels">What each channel reacts to</h2>
			<p className="quiet">
				The test images with the strongest activation of the channel. Beside them stands an image that was made to
				maximise it.
			</p>
			{synthesize.error && <Problem error={synthesize.error} />}
			<Answer query={channels} rows={8}>
				{({ pages }) => {
					const rows: ChannelList = pages.flatMap((page) => page.layer?.channelExemplars?.nodes ?? []);
					if (rows.length === 0) {
						return (
							<Empty>
								Nobody has asked yet which test images each channel reacts to most.{" "}
								<WriteButton
									className="primary"
									disabled={find.isPending || find.isSuccess}
									onClick={() => find.mutate({ input: { versionId: version } })}
								>
									{find.isSuccess ? "Looking" : "Look for them"}
								</WriteButton>
								{find.error && <Problem error={find.error} />}
							</Empty>
						);
					}
					// The newest of each channel. Those of single neurons have a row.
					const made = new Map(
						(pages[0]?.layer?.syntheses.nodes ?? [])
							.filter(({ target }) => target.row == null)
							.reverse()
							.map(({ target, picture }) => [target.channel, picture]),
					);
					return (
						<>
							<ul className="channels">
								{rows.map(({ channel, images }) => {
									const synthetic = made.get(channel);
									return (
										<li key={channel}>
											<h3>Channel {channel}</h3>
											<div className="synthetic">
												{synthetic ? (
													<Picture {...synthetic} alt={`Made to maximise channel ${channel}`} />
												) : (
													<WriteButton
														aria-label={`Make an image for channel ${channel}`}
														disabled={synthesize.isPending}
														onClick={() =>
															synthesize.mutate({
																input: { versionId: version, target: { layer: layer.index, channel } },
															})
														}
													>
														Make an image
													</WriteButton>
												)}
											</div>
											{images.map(({ index, activation, picture }) => (
												<Picture
													key={index}
													{...picture}
													alt={`Test image ${index}, activation ${activation.toPrecision(3)}`}
												/>
											))}
										</li>
									);
								})}
							</ul>
							<More pages={channels} name="More channels" />
						</>
					);
				}}
			</Answer>
		</section>
	);
}
